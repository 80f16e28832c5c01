// Sticks by sysfs; see the header.
#include "firmware/init/sticks.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::size_t disks_max = 16;  // more sticks than a box has ports
constexpr std::size_t block_name_bytes_max = 32;

bool is_partition(const std::string& path) {
  return ::access((path + "/partition").c_str(), F_OK) == 0;
}

bool behind_usb(const std::string& path) {
  for (const std::string_view part : split(path, '/')) {
    if (part.size() > 3 && part.starts_with("usb") &&
        part.find_first_not_of("0123456789", 3) == std::string_view::npos) {
      return true;
    }
  }
  return false;
}

bool is_plain(const std::string& name) {
  return name.size() <= block_name_bytes_max &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos;
}

std::string value_in(const std::string& path) {
  return std::string(trimmed(read_file(path).value_or("")));
}

// False when it belongs to a box: its own or another one's.
bool add_partitions(const std::string& path, const std::string& disk,
                    std::vector<std::string>& devices) {
  for (const std::string& name : directory_names(path)) {
    if (!name.starts_with(disk) || !is_plain(name) || !is_partition(path + "/" + name)) continue;
    const std::string facts = "\n" + read_file(path + "/" + name + "/uevent").value_or("");
    if (facts.contains("\nPARTNAME=postern-")) return false;
    devices.push_back("/dev/" + name);
  }
  if (devices.empty()) devices.push_back("/dev/" + disk);
  devices.resize(std::min(devices.size(), stick_partitions_max));
  return true;
}

}  // namespace

std::vector<Stick> list_sticks(const std::string& own, const std::string& sys) {
  std::vector<Stick> sticks;
  for (const std::string& disk : directory_names(sys + "/class/block")) {
    const std::string path = device_path(disk, sys);
    if (disk == own || !is_plain(disk) || path.empty() || is_partition(path) || !behind_usb(path))
      continue;
    const std::string size = value_in(path + "/size");
    if (size.empty() || size == "0") continue;  // a card reader without a card
    Stick stick{disk, value_in(path + "/diskseq"), {}};
    if (add_partitions(path, disk, stick.devices)) sticks.push_back(std::move(stick));
    if (sticks.size() == disks_max) break;
  }
  return sticks;
}

std::vector<Stick> StickWatch::fresh(const std::vector<Stick>& present) {
  const auto holds = [](const std::vector<Stick>& sticks, const Stick& stick) {
    return std::ranges::find(sticks, stick) != sticks.end();
  };
  std::erase_if(known_, [&](const Stick& stick) { return !holds(present, stick); });
  std::vector<Stick> fresh;
  for (const Stick& stick : present) {
    if (!holds(known_, stick) && holds(seen_once_, stick)) fresh.push_back(stick);
  }
  seen_once_ = present;
  known_.insert(known_.end(), fresh.begin(), fresh.end());
  return fresh;
}

MountedStick::MountedStick(const Stick& stick) {
  ::mkdir(place_.c_str(), 0700);
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_SYNCHRONOUS;
  for (const std::string& device : stick.devices) {
    mounted_ = ::mount(device.c_str(), place_.c_str(), "vfat", flags, "umask=077") == 0;
    if (mounted_) return;
    // Nothing is taken from it: what was a secret there could not be removed.
    problem_ = errno == EROFS || errno == EACCES ? "it is write-protected"
               : errno == EINVAL                 ? "it has no FAT file system"
                                                 : std::strerror(errno);
  }
}

MountedStick::~MountedStick() {
  if (!mounted_) return;
  ::sync();
  if (::umount2(place_.c_str(), 0) != 0 && ::umount2(place_.c_str(), MNT_DETACH) != 0)
    say_errno("the USB stick stays mounted", errno);
}

}  // namespace postern::firmware
