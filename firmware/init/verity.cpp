// The read-only root by three calls of the device mapper; see the header.
#include "firmware/init/verity.hpp"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::size_t hash_digits = 64;        // SHA-256
constexpr std::size_t call_bytes = 16 * 1024;  // header, target and table
constexpr std::size_t read_bytes = 256UZ * 1024;
constexpr char volume[] = "postern-root";

std::optional<std::string> read_hash(std::string_view command_line, std::string_view name) {
  auto value = parameter(command_line, name);
  if (!value || value->size() != hash_digits ||
      value->find_first_not_of("0123456789abcdef") != std::string::npos) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::uint64_t> read_number(std::string_view command_line, std::string_view name) {
  const auto value = parameter(command_line, name);
  if (!value) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || number == 0)
    return std::nullopt;
  return number;
}

class Call {
 public:
  explicit Call(int fd) : fd_(fd), buffer_(call_bytes) {}

  bool make(unsigned long request, std::uint32_t flags) {
    begin(flags);
    return ::ioctl(fd_, request, buffer_.data()) == 0;
  }

  bool load(std::uint64_t sectors, const std::string& table) {
    dm_ioctl* header = begin(DM_READONLY_FLAG);
    header->target_count = 1;
    if (sizeof(dm_ioctl) + sizeof(dm_target_spec) + table.size() + 1 > buffer_.size()) return false;
    dm_target_spec target{};
    target.length = sectors;
    std::strcpy(target.target_type, "verity");
    std::memcpy(buffer_.data() + sizeof(dm_ioctl), &target, sizeof target);
    std::memcpy(buffer_.data() + sizeof(dm_ioctl) + sizeof target, table.c_str(), table.size() + 1);
    return ::ioctl(fd_, DM_TABLE_LOAD, buffer_.data()) == 0;
  }

 private:
  dm_ioctl* begin(std::uint32_t flags) {
    std::ranges::fill(buffer_, std::byte{0});
    auto* header = reinterpret_cast<dm_ioctl*>(buffer_.data());
    header->version[0] = DM_VERSION_MAJOR;
    header->data_size = static_cast<std::uint32_t>(buffer_.size());
    header->data_start = sizeof(dm_ioctl);
    header->flags = flags;
    std::strcpy(header->name, volume);
    return header;
  }
  int fd_;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::optional<VerityParameters> read_verity_parameters(std::string_view command_line) {
  const auto root = read_hash(command_line, "postern.root_hash");
  const auto salt = read_hash(command_line, "postern.root_salt");
  const auto blocks = read_number(command_line, "postern.root_blocks");
  const auto tree = read_number(command_line, "postern.root_tree");
  if (!root || !salt || !blocks || !tree || *tree < *blocks) return std::nullopt;
  return VerityParameters{*root, *salt, *blocks, *tree};
}

std::string verity_table(const VerityParameters& parameters, std::string_view device,
                         OnDamage on_damage) {
  const std::string block = std::to_string(verity_block_bytes);
  const std::string where(device);
  return "1 " + where + " " + where + " " + block + " " + block + " " +
         std::to_string(parameters.data_blocks) + " " + std::to_string(parameters.hash_block) +
         " sha256 " + parameters.root_hash + " " + parameters.salt +
         (on_damage == OnDamage::panic ? " 1 panic_on_corruption" : "");
}

namespace {

bool remove_volume() {
  const int fd = ::open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
  const bool removed = fd >= 0 && Call(fd).make(DM_DEV_REMOVE, 0);
  if (fd >= 0) ::close(fd);
  return removed;
}

}  // namespace

bool open_verity(const VerityParameters& parameters, const std::string& device,
                 OnDamage on_damage) {
  const int fd = ::open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    say_errno("the device mapper is missing", errno);
    return false;
  }
  Call call(fd);
  const std::uint64_t sectors = parameters.data_blocks * (verity_block_bytes / sector_bytes);
  const bool made = call.make(DM_DEV_CREATE, 0) &&
                    call.load(sectors, verity_table(parameters, device, on_damage)) &&
                    call.make(DM_DEV_SUSPEND, 0);  // without its flag this call resumes
  if (!made) say_errno("the root's checked volume cannot be made", errno);
  ::close(fd);
  if (!made) static_cast<void>(remove_volume());  // the next one has the same name
  return made;
}

RootState look_at_root(const VerityParameters& parameters, const std::string& device,
                       const std::function<void()>& meanwhile) {
  if (!open_verity(parameters, device, OnDamage::fail)) return RootState::unknown;
  const int fd = ::open("/dev/dm-0", O_RDONLY | O_CLOEXEC);
  if (fd < 0) say_errno("/dev/dm-0", errno);
  std::vector<char> piece(read_bytes);
  std::uint64_t rest = parameters.data_blocks * verity_block_bytes;
  RootState state = fd < 0 ? RootState::unknown : RootState::good;
  while (state == RootState::good && rest > 0) {
    meanwhile();
    const ssize_t count = ::read(fd, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) state = RootState::damaged;
    rest -= std::min(rest, static_cast<std::uint64_t>(std::max<ssize_t>(count, 0)));
  }
  if (fd >= 0) ::close(fd);
  if (remove_volume()) return state;
  say_errno("the root's checked volume cannot be removed", errno);
  return RootState::unknown;
}

}  // namespace postern::firmware
