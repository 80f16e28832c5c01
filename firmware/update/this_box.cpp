// What the kernel's command line and the image tell of this box; see the header.
#include "firmware/update/this_box.hpp"

#include <unistd.h>

#include <algorithm>

#include "firmware/init/system.hpp"

#if defined(__x86_64__)
constexpr char architecture[] = "amd64";
#else
constexpr char architecture[] = "arm64";
#endif

namespace postern::firmware {

namespace {

constexpr char operation[] = "install the update";

}  // namespace

Result<InstallTarget> this_box(const std::string& command_line, const BoxPlaces& places) {
  const auto slot = parameter(command_line, "postern.slot");
  const auto built = parameter(command_line, "postern.built");
  if ((slot != "a" && slot != "b") || !built) {
    return fail(ErrorKind::unsupported, operation,
                "this machine is no Postern box: it has no slots to install one into");
  }
  InstallTarget target;
  target.public_key = firmware::read_file(places.release_key).value_or("");
  if (target.public_key.empty()) {
    return fail(ErrorKind::denied, operation,
                "this image was built without a release key and takes no updates");
  }
  target.architecture = architecture;
  target.built_after = std::max(number_in(*built), stored_floor(places.floor));
  target.slot = slot == "a" ? 'b' : 'a';
  target.root_device =
      find_partition(std::string("postern-root-") + target.slot, own_disk(places.sys), places.sys);
  target.kernels_directory = places.kernels_directory;
  if (target.root_device.empty())
    return fail(ErrorKind::not_found, operation, "the partition of the other slot was not found");
  if (::access(target.kernels_directory.c_str(), W_OK) != 0)
    return fail(ErrorKind::not_found, operation, "the EFI partition is not mounted at /run/efi");
  return target;
}

}  // namespace postern::firmware
