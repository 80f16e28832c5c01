// The first process of the image, in the kernel's initial memory: finds the slot's root, checks it,
// goes there.
//
// Promise: a watchdog runs before any other driver is loaded, where the machine has one that needs
// none; every module is loaded here, and none can be loaded afterwards; no program starts but from
// the root; what cannot go on says why and restarts the box, so that the boot loader's count of
// tries leads to the other slot.
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "firmware/init/modules.hpp"
#include "firmware/init/slots.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"
#include "firmware/init/verity.hpp"

namespace postern::firmware {
namespace {

constexpr int root_wait_seconds = 30;     // slow USB media need ten
constexpr int another_wait_seconds = 10;  // where what was found is not the root
constexpr char watchdog_drivers[] = "kernel/drivers/watchdog/";
constexpr char software_watchdog[] = "softdog";
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

bool is_watched() { return std::getenv("POSTERN_WATCHDOG") != nullptr; }

// Stays open over exec: the supervisor goes on feeding it.
void start_watchdog() {
  const int fd = ::open("/dev/watchdog", O_WRONLY);
  if (fd < 0) return say_errno("no watchdog", errno);
  int seconds = watchdog_seconds;
  ::ioctl(fd, WDIOC_SETTIMEOUT, &seconds);
  ::setenv("POSTERN_WATCHDOG", std::to_string(fd).c_str(), 1);
}

// Some know 15 seconds at most. Where it is fed is bounded: by root_wait_seconds, and by the pieces
// in which roots are read.
void feed_watchdog() {
  const std::string number = is_watched() ? std::getenv("POSTERN_WATCHDOG") : "-1";
  if (::write(std::atoi(number.c_str()), "\n", 1) != 1 && is_watched())
    say_errno("the watchdog", errno);
}

// Before all other drivers: one of them may hang.
void start_first_watchdog(ModuleLoader& loader) {
  loader.load_directory(watchdog_drivers, software_watchdog);
  if (::access("/dev/watchdog", F_OK) == 0) start_watchdog();
}

// Some chips' watchdogs are devices that another driver brings; without any the kernel's own.
void start_any_watchdog(ModuleLoader& loader) {
  if (is_watched()) return;
  if (::access("/dev/watchdog", F_OK) != 0) loader.load_named(software_watchdog);
  start_watchdog();
}

// The partition whose root reads as it was written; those that do not are put into `damaged`. A
// stick may bear the same name: the right one may come later.
std::string find_root(ModuleLoader& loader, const VerityParameters& verity, const std::string& name,
                      std::vector<std::string>& damaged) {
  std::string root;
  int tenths_left = root_wait_seconds * 10;
  for (; root.empty() && tenths_left > 0; --tenths_left) {
    feed_watchdog();
    loader.load_for_devices();
    for (const std::string& device : find_partitions(name)) {
      if (!root.empty() || std::ranges::find(damaged, device) != damaged.end()) continue;
      RootState state = look_at_root(verity, device, feed_watchdog);
      // A bad moment of a medium is no damage.
      if (state == RootState::damaged) state = look_at_root(verity, device, feed_watchdog);
      if (state == RootState::good) root = device;
      if (state == RootState::unknown) {
        ::sleep(1);
        tenths_left -= 10;
      }
      if (state != RootState::damaged) continue;
      say(device + " does not hold this slot's root, or holds it damaged");
      damaged.push_back(device);
      tenths_left = std::min(tenths_left, another_wait_seconds * 10);
    }
    if (root.empty()) ::usleep(100'000);
  }
  loader.load_for_devices();  // what appeared meanwhile: network adapters behind USB
  return root;
}

// A slot that was good has no tries that lead to the other one. Where that is good, it goes there.
void leave_slot(char slot, const std::vector<std::string>& damaged) {
  ::mkdir("/run", 0755);
  for (const std::string& device : damaged) {
    const EfiPartition efi(disk_of(device.substr(device.rfind('/') + 1)));
    if (!efi.mounted()) continue;
    settle_slots(efi.place());  // this renaming, too, may have been cut in half before
    if (!other_slot_is_good(efi.place())) continue;  // nothing would tell it, or take it away
    leave_early_reason(efi.place(), "its root does not read as it was written");
    if (call_damaged(efi.place(), slot)) say("the other slot is good: the box goes back to it");
  }
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

void close_off() {
  if (!write_file("/proc/sys/kernel/modules_disabled", "1")) say("modules could not be closed off");
  // Ways around noexec: whoever is root in a namespace of its own mounts without it, and a file in
  // memory alone lies on no mount.
  if (!write_file("/proc/sys/user/max_user_namespaces", "0") ||
      !write_file("/proc/sys/vm/memfd_noexec", "2")) {
    say("programs from elsewhere than the root could not be closed off");
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
  start_first_watchdog(loader);
  for (const std::string_view name : split(required, '\n')) loader.load_named(name);
  loader.load_for_devices();
  start_any_watchdog(loader);
  const auto verity = read_verity_parameters(command_line);
  const auto slot = parameter(command_line, "postern.slot");
  if (!verity || (slot != "a" && slot != "b"))
    give_up("the kernel's command line does not name the slot and its hash");
  // Read as a whole first: what is found damaged later ends in a panic, again and again.
  std::vector<std::string> damaged;
  const std::string device = find_root(loader, *verity, "postern-root-" + *slot, damaged);
  if (device.empty() && damaged.empty())
    give_up("the partition postern-root-" + *slot + " was not found, or could not be looked at");
  if (device.empty()) {
    leave_slot(slot->front(), damaged);
    give_up("the root is damaged");
  }
  if (!open_verity(*verity, device, OnDamage::panic)) give_up("the root cannot be checked");
  go_to_root("/dev/dm-0");
  close_off();
  char name[] = "/sbin/supervisor";
  char* arguments[] = {name, nullptr};
  ::execv(name, arguments);
  give_up("the supervisor cannot be started");
}

}  // namespace
}  // namespace postern::firmware

int main() { return postern::firmware::run(); }
