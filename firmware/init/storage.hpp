// The box's own places: the data partition, grown to the medium, and the configuration dropped on
// the EFI partition or a USB stick.
//
// Promise: data is mounted nosuid, nodev, noexec after its file system was checked. A dropped
// configuration takes effect whole or not at all: it is copied beside the one in force, checked by
// the relay itself, and renamed. What was a secret in the drop is overwritten there. A refused one
// stays where it is, with its problems in POSTERN-PROBLEMS.TXT beside it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "firmware/init/box.hpp"
#include "firmware/init/place.hpp"
#include "firmware/init/shred.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

inline constexpr unsigned relay_user = 990;  // no other user exists in the image
inline constexpr char configuration_directory[] = "/data/config";
// Its files are the relay's and nobody else's; it and its directories stay root's, so that no relay
// puts a link where root writes.
inline constexpr unsigned configuration_directory_mode = 0755;

// Grows the partition, checks its file system, mounts it at /data and grows that too.
[[nodiscard]] bool open_data(const std::string& device, const FeedWatchdog& feed);

enum class DropResult { nothing, taken, refused };
[[nodiscard]] DropResult take_drop(const Place& place, const Box& box, const FeedWatchdog& feed);

// Its files there, in force or refused, overwritten and removed. Those above `bytes_max` are only
// removed.
void shred_drop(const std::string& place, std::size_t bytes_max, Shredding& shredding);

class EfiPartition {  // mounted as long as it lives
 public:
  explicit EfiPartition(const std::string& disk = own_disk());
  ~EfiPartition();
  EfiPartition(const EfiPartition&) = delete;
  EfiPartition& operator=(const EfiPartition&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  std::string place_ = "/run/efi";
  bool mounted_ = false;
};

}  // namespace postern::firmware
