// CRC-32C over a superblock; see the header.
#include "firmware/init/superblock.hpp"

#include "firmware/init/partition_table.hpp"

namespace postern::firmware {

namespace {

// Of the kernel's fs/ext4/ext4.h, struct ext4_super_block.
constexpr std::size_t magic_at = 0x38, checksum_kind_at = 0x175;
constexpr std::uint8_t crc32c_kind = 1;

}  // namespace

std::optional<std::array<std::uint8_t, 4>> superblock_checksum(
    std::span<const std::uint8_t, superblock_bytes> superblock) {
  if (superblock[magic_at] != 0x53 || superblock[magic_at + 1] != 0xEF ||
      superblock[checksum_kind_at] != crc32c_kind) {
    return std::nullopt;
  }
  // ext4 keeps it without the inversion at the end.
  const std::uint32_t sum = ~crc32(superblock.first(superblock_checksum_at), castagnoli_polynomial);
  return std::array{static_cast<std::uint8_t>(sum), static_cast<std::uint8_t>(sum >> 8),
                    static_cast<std::uint8_t>(sum >> 16), static_cast<std::uint8_t>(sum >> 24)};
}

}  // namespace postern::firmware
