// The data partition; see the header.
#include "firmware/init/storage.hpp"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "firmware/init/partition_table.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/superblock.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::uint64_t data_block_bytes = 4096;
constexpr char superblock_copy[] = "32768";  // the second group's first block (ext4's layout)
// EXT4_IOC_RESIZE_FS of the kernel's fs/ext4/ext4.h, which no header exports.
constexpr unsigned long resize_file_system = _IOW('f', 16, std::uint64_t);

bool write_at(int fd, const std::vector<std::uint8_t>& bytes, std::uint64_t sector) {
  const auto at = static_cast<off_t>(sector * sector_bytes);
  return ::pwrite(fd, bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()) &&
         ::fsync(fd) == 0;
}

void grow_partition(const std::string& device) {
  const std::string medium = "/dev/" + disk_of(device.substr(5));  // of /dev/vda5
  const int fd = ::open(medium.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return say_errno("the medium " + medium, errno);
  std::uint64_t bytes = 0;
  std::vector<std::uint8_t> front(table_sectors * sector_bytes);
  if (::ioctl(fd, BLKGETSIZE64, &bytes) == 0 &&
      ::pread(fd, front.data(), front.size(), 0) == static_cast<ssize_t>(front.size())) {
    const auto grown = grow_last_partition(front, bytes / sector_bytes);
    // The copy at the end first: while one of the two is whole, the medium is readable.
    if (grown && write_at(fd, grown->back, bytes / sector_bytes - (table_sectors - 1)) &&
        write_at(fd, grown->front, 0)) {
      blkpg_partition partition{};
      partition.pno = static_cast<int>(grown->partition_number);
      partition.start = static_cast<long long>(grown->partition_first * sector_bytes);
      partition.length = static_cast<long long>(grown->partition_sectors * sector_bytes);
      blkpg_ioctl_arg order{BLKPG_RESIZE_PARTITION, 0, sizeof partition, &partition};
      if (::ioctl(fd, BLKPG, &order) != 0)
        say_errno("the data partition could not grow", errno);
      else
        say("the data partition now reaches to the end of " + medium);
    }
  }
  ::close(fd);
}

std::uint64_t file_system_blocks() {
  struct statvfs facts{};
  return ::statvfs("/data", &facts) == 0 ? facts.f_blocks : 0;
}

void grow_file_system(const std::string& device) {
  std::uint64_t bytes = 0;
  const int fd = ::open(device.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) bytes = 0;
    ::close(fd);
  }
  const int directory = ::open("/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::uint64_t blocks = bytes / data_block_bytes;
  const std::uint64_t before = file_system_blocks();
  if (directory >= 0 && blocks > 0 && ::ioctl(directory, resize_file_system, &blocks) != 0)
    say_errno("the data file system could not grow", errno);
  if (directory >= 0) ::close(directory);
  const std::uint64_t now = file_system_blocks();
  if (now > before) {
    say("the data file system grew to " + std::to_string(now * data_block_bytes / 1'000'000) +
        " MB");
  }
}

// e2fsck(8): 1 and 2 are mended; 4 and more are not.
constexpr int not_mended = 4;
constexpr std::string_view torn_superblock = "checksum does not match superblock";  // its words

bool mend_superblock_checksum(const std::string& device) {
  const int fd = ::open(device.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  std::array<std::uint8_t, superblock_bytes> superblock{};
  bool done = ::pread(fd, superblock.data(), superblock.size(), superblock_at) ==
              static_cast<ssize_t>(superblock.size());
  const auto sum = done ? superblock_checksum(superblock) : std::nullopt;
  done = sum &&
         ::pwrite(fd, sum->data(), sum->size(), superblock_at + superblock_checksum_at) ==
             static_cast<ssize_t>(sum->size()) &&
         ::fsync(fd) == 0;
  ::close(fd);
  return done;
}

bool check_file_system(const std::string& device, const FeedWatchdog& feed) {
  std::string told;
  const auto check = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "/sbin/e2fsck");
    words.push_back(device);
    const int code = run_and_wait(words, 0, told, feed);
    say_lines(told);
    return code >= 0 && code < not_mended;
  };
  if (check({"-p"})) return true;
  if (!told.contains(torn_superblock)) return false;
  // The superblock is two sectors: a power cut may leave one old and one new. Its copy (there is
  // one from 128 MB on) leads to the journal, which brings the superblock back; what is said on the
  // way does not matter, as all of it is checked again.
  say("the data file system's superblock is torn; its copy is tried");
  static_cast<void>(check({"-y", "-b", superblock_copy, "-B", std::to_string(data_block_bytes)}));
  if (check({"-f", "-p"})) return true;
  // While the file system grows for the first time there is no copy, or one that is torn as well.
  if (!told.contains(torn_superblock) || !mend_superblock_checksum(device)) return false;
  say("the copy leads nowhere; the checksum is made anew, so that the journal can mend it");
  static_cast<void>(check({"-y"}));
  return check({"-f", "-p"});
}

}  // namespace

bool open_data(const std::string& device, const FeedWatchdog& feed) {
  grow_partition(device);
  if (!check_file_system(device, feed)) {
    say("the data file system is damaged beyond automatic repair; nothing of it is used");
    return false;
  }
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
  if (::mount(device.c_str(), "/data", "ext4", flags, "errors=remount-ro") != 0) {
    say_errno("the data partition cannot be mounted", errno);
    return false;
  }
  grow_file_system(device);
  ::mkdir("/data/queue", 0700);
  if (::chown("/data/queue", relay_user, relay_user) != 0)
    say_errno("the queue's directory", errno);
  return true;
}

EfiPartition::EfiPartition(const std::string& disk) {
  const std::string device = find_partition("postern-efi", disk);
  ::mkdir(place_.c_str(), 0700);
  // Nobody mends what a power cut left in this file system; writing goes on around it.
  mounted_ = !device.empty() && ::mount(device.c_str(), place_.c_str(), "vfat",
                                        MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS,
                                        "umask=077,errors=continue") == 0;
  if (!mounted_) say_errno("the EFI partition cannot be mounted", errno);
}

EfiPartition::~EfiPartition() {
  if (mounted_ && ::umount(place_.c_str()) != 0)
    say_errno("the EFI partition stays mounted", errno);
}

}  // namespace postern::firmware
