// The first process of the image, in the kernel's initial memory: finds the slot's root, checks it,
// goes there.
//
// Promise: the watchdog runs before anything can hang; every module is loaded here, and none can be
// loaded afterwards; what cannot go on says why and restarts the box, so that the boot loader's
// count of tries leads to the other slot.
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "firmware/init/modules.hpp"
#include "firmware/init/system.hpp"
#include "firmware/init/verity.hpp"

namespace postern::firmware {
namespace {

constexpr int root_wait_seconds = 30;      // slow USB media need ten
constexpr int watchdog_seconds = 60;       // a whole start emulated takes half of it
constexpr int restart_after_seconds = 10;  // time to read the sentence on the console

[[noreturn]] void give_up(std::string_view why) {
  say(std::string(why) + "; the box restarts in 10 seconds");
  ::sleep(restart_after_seconds);
  ::sync();
  ::reboot(RB_AUTOBOOT);
  for (;;) ::pause();
}

void mount_kernel_views() {
  ::mkdir("/dev", 0755);
  ::mkdir("/proc", 0555);
  ::mkdir("/sys", 0555);
  ::mkdir("/root", 0755);
  if (::mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") != 0 && errno != EBUSY)
    ::_exit(1);
  ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  ::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
}

// Stays open over exec: the supervisor goes on feeding it.
void start_watchdog() {
  const int fd = ::open("/dev/watchdog", O_WRONLY);
  if (fd < 0) return say_errno("no watchdog", errno);
  int seconds = watchdog_seconds;
  ::ioctl(fd, WDIOC_SETTIMEOUT, &seconds);
  ::setenv("POSTERN_WATCHDOG", std::to_string(fd).c_str(), 1);
}

std::string load_modules_until(ModuleLoader& loader, const std::string& partition) {
  std::string device;
  for (int tenth = 0; tenth < root_wait_seconds * 10; ++tenth) {
    loader.load_for_devices();
    device = find_partition(partition);
    if (!device.empty()) break;
    ::usleep(100'000);
  }
  loader.load_for_devices();  // what appeared meanwhile: network adapters behind USB
  return device;
}

void go_to_root(const std::string& device) {
  if (::mount(device.c_str(), "/root", "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, nullptr) != 0)
    give_up("the root cannot be mounted");
  for (const char* place : {"/dev", "/proc", "/sys"}) {
    const std::string target = std::string("/root") + place;
    if (::mount(place, target.c_str(), nullptr, MS_MOVE, nullptr) != 0)
      give_up("a kernel view cannot be moved to the root");
  }
  if (::chdir("/root") != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0) {
    give_up("the root cannot be entered");
  }
}

int run() {
  mount_kernel_views();
  ::umask(022);
  const std::string command_line = read_file("/proc/cmdline").value_or("");
  const std::string directory = "/lib/modules";
  ModuleLoader loader(directory, ModuleIndex(read_file(directory + "/modules.dep").value_or(""),
                                             read_file(directory + "/modules.alias").value_or("")));
  const std::string required = read_file(directory + "/required").value_or("");
  for (const std::string_view name : split(required, '\n')) loader.load_named(name);
  loader.load_for_devices();
  if (::access("/dev/watchdog", F_OK) != 0) loader.load_named("softdog");
  start_watchdog();
  const auto verity = read_verity_parameters(command_line);
  const auto slot = parameter(command_line, "postern.slot");
  if (!verity || (slot != "a" && slot != "b"))
    give_up("the kernel's command line does not name the slot and its hash");
  const std::string device = load_modules_until(loader, "postern-root-" + *slot);
  if (device.empty()) give_up("the partition postern-root-" + *slot + " was not found");
  if (!open_verity(*verity, device)) give_up("the root cannot be checked");
  go_to_root("/dev/dm-0");
  if (!write_file("/proc/sys/kernel/modules_disabled", "1")) say("modules could not be closed off");
  char name[] = "/sbin/supervisor";
  char* arguments[] = {name, nullptr};
  ::execv(name, arguments);
  give_up("the supervisor cannot be started");
}

}  // namespace
}  // namespace postern::firmware

int main() { return postern::firmware::run(); }
