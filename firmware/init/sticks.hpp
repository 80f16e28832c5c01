// USB sticks: which there are, and one of them mounted.
//
// Promise: only a medium behind a USB port, never the one that the box runs from, nor another one
// made for a box (its partitions are called postern-…). Mounted as vfat and nothing else, nosuid,
// nodev, noexec; unmounted when the object goes. Sharp edge: whoever plugs in a stick chooses its
// file system's every octet; the kernel's vfat is trusted with that, and what is read is bounded by
// those who read (drop_files.hpp, update/installer.hpp).
#pragma once

#include <map>
#include <string>
#include <vector>

namespace postern::firmware {

inline constexpr std::size_t stick_partitions_max = 4;  // looked at until one is vfat

struct Stick {
  std::string disk;                  // "sda"
  std::string sequence;              // the kernel's number for this very plugging in
  std::vector<std::string> devices;  // to try, in order: its partitions, or the disk without any
  bool operator==(const Stick&) const = default;
};

// `own`: the disk that the box runs from.
[[nodiscard]] std::vector<Stick> list_sticks(const std::string& own,
                                             const std::string& sys = "/sys");

// Tells each stick once it is there for two looks: the kernel has then read its partitions.
class StickWatch {
 public:
  [[nodiscard]] std::vector<Stick> fresh(const std::vector<Stick>& present);
  [[nodiscard]] const std::vector<Stick>& known() const { return known_; }

 private:
  std::vector<Stick> known_, seen_once_;
};

class MountedStick {
 public:
  explicit MountedStick(const Stick& stick);
  ~MountedStick();
  MountedStick(const MountedStick&) = delete;
  MountedStick& operator=(const MountedStick&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& place() const { return place_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }  // when not mounted

 private:
  std::string place_ = "/run/stick", problem_;
  bool mounted_ = false;
};

}  // namespace postern::firmware
