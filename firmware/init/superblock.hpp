// The superblock of the data partition's file system (ext4), where a power cut tore it.
//
// Promise: pure. Of its two sectors one is older then, and the checksum, in the second, is wrong;
// the right one lets e2fsck open the file system and take the whole superblock from the journal.
// Sharp edge: what is damaged otherwise looks right then, too. Only for where its copy leads
// nowhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace postern::firmware {

inline constexpr std::size_t superblock_at = 1024, superblock_bytes = 1024;
inline constexpr std::size_t superblock_checksum_at = 0x3FC;

// What belongs there, little-endian; nothing where this is no superblock with a CRC-32C.
[[nodiscard]] std::optional<std::array<std::uint8_t, 4>> superblock_checksum(
    std::span<const std::uint8_t, superblock_bytes> superblock);

}  // namespace postern::firmware
