// The medium's partition table (GPT, UEFI specification chapter 5): its last partition grows to the
// medium's end.
//
// Promise: pure; a table that is not whole and well (both checksums) is left alone. The result is
// what to write: the sectors in front with header and entries, and their copy at the medium's end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace postern::firmware {

inline constexpr std::size_t sector_bytes = 512;
inline constexpr std::size_t table_sectors =
    34;  // protective MBR, header, 128 entries of 128 octets

struct GrownTable {
  std::vector<std::uint8_t> front;    // sectors 0 to 33
  std::vector<std::uint8_t> back;     // entries and header for the last 33 sectors
  std::uint64_t partition_first = 0;  // sectors of the partition that grew
  std::uint64_t partition_sectors = 0;
  std::uint32_t partition_number = 0;  // from 1
};

inline constexpr std::uint32_t gpt_polynomial = 0xEDB8'8320;  // each bit-reversed
inline constexpr std::uint32_t castagnoli_polynomial =
    0x82F6'3B78;  // CRC-32C, RFC 3720 appendix B.4
[[nodiscard]] std::uint32_t crc32(std::span<const std::uint8_t> bytes,
                                  std::uint32_t polynomial = gpt_polynomial);

// `front`: the medium's first 34 sectors. Nothing: no sound table, or nothing to grow.
[[nodiscard]] std::optional<GrownTable> grow_last_partition(std::span<const std::uint8_t> front,
                                                            std::uint64_t medium_sectors);

}  // namespace postern::firmware
