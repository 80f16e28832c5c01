// install-update FILE: run by the supervisor, as root, with the EFI partition mounted at /run/efi.
//
// Promise: exit code 0 and the version on standard output when the other slot holds the update; 1
// and one sentence when nothing was installed.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>

#include "crypto/random.hpp"
#include "firmware/init/system.hpp"
#include "firmware/update/installer.hpp"

#if defined(__x86_64__)
constexpr char architecture[] = "amd64";
#else
constexpr char architecture[] = "arm64";
#endif

namespace {

using namespace postern;

std::int64_t number_in(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int refuse(const std::string& why) {
  static_cast<void>(std::fprintf(stderr, "%s\n", why.c_str()));
  return 1;
}

}  // namespace

int main(int count, char** values) {
  if (count != 2) return refuse("usage: install-update FILE");
  if (const auto ready = crypto::initialise(); !ready) return refuse(ready.error().text());
  const std::string line = firmware::read_file("/proc/cmdline").value_or("");
  const auto slot = firmware::parameter(line, "postern.slot");
  const auto built = firmware::parameter(line, "postern.built");
  if ((slot != "a" && slot != "b") || !built)
    return refuse("the kernel's command line does not name the slot and the image's date");
  firmware::InstallTarget target;
  target.public_key = firmware::read_file("/etc/postern-release.pub").value_or("");
  if (target.public_key.empty())
    return refuse("this image was built without a release key and takes no updates");
  target.architecture = architecture;
  target.built_after =
      std::max(number_in(*built), number_in(firmware::read_file("/data/box/floor").value_or("0")));
  target.slot = slot == "a" ? 'b' : 'a';
  target.root_device = firmware::find_partition(std::string("postern-root-") + target.slot);
  target.kernels_directory = "/run/efi/EFI/Linux";
  if (target.root_device.empty()) return refuse("the partition of the other slot was not found");
  const auto installed = firmware::install_update(values[1], target);
  if (!installed) return refuse(installed.error().text());
  std::printf("%s\n", installed->c_str());
  return 0;
}
