// GPT arithmetic; see the header. Offsets are those of the UEFI specification 2.10, sections 5.3.2
// and 5.3.3.
#include "firmware/init/partition_table.hpp"

#include <algorithm>

namespace postern::firmware {

namespace {

constexpr std::size_t header_at = sector_bytes, entries_at = 2 * sector_bytes, header_bytes = 92;
constexpr std::size_t entry_bytes = 128, entries = 128;
constexpr std::size_t header_crc = 16, header_self = 24, header_other = 32, header_last_usable = 48,
                      header_entries_at = 72, header_count = 80, header_entry_bytes = 84,
                      header_entries_crc = 88;
constexpr std::size_t entry_first = 32, entry_last = 40;
constexpr std::size_t back_sectors = table_sectors - 1;
constexpr std::size_t mbr_sectors_at = 446 + 12;    // size field of the protective record
constexpr std::uint64_t growth_sectors_min = 2048;  // a megabyte; less is alignment

std::uint64_t number(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = (value << 8) | bytes[at + i];
  return value;
}

void put(std::span<std::uint8_t> bytes, std::size_t at, std::size_t count, std::uint64_t value) {
  for (std::size_t i = 0; i < count; ++i, value >>= 8)
    bytes[at + i] = static_cast<std::uint8_t>(value);
}

std::uint32_t header_checksum(std::span<const std::uint8_t> header) {
  std::vector<std::uint8_t> copy(header.begin(), header.begin() + header_bytes);
  put(copy, header_crc, 4, 0);
  return crc32(copy);
}

bool sound(std::span<const std::uint8_t> front) {
  constexpr std::uint64_t signature = 0x5452415020494645;  // "EFI PART"
  const auto header = front.subspan(header_at, sector_bytes);
  const auto table = front.subspan(entries_at, entry_bytes * entries);
  return number(header, 0, 8) == signature && number(header, header_count, 4) == entries &&
         number(header, header_entry_bytes, 4) == entry_bytes &&
         number(header, header_crc, 4) == header_checksum(header) &&
         number(header, header_entries_crc, 4) == crc32(table);
}

}  // namespace

std::uint32_t crc32(std::span<const std::uint8_t> bytes, std::uint32_t polynomial) {
  std::uint32_t sum = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    sum ^= byte;
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1U) != 0 ? polynomial : 0U);
  }
  return ~sum;
}

std::optional<GrownTable> grow_last_partition(std::span<const std::uint8_t> front,
                                              std::uint64_t medium_sectors) {
  if (front.size() != table_sectors * sector_bytes || !sound(front)) return std::nullopt;
  GrownTable grown;
  grown.front.assign(front.begin(), front.end());
  const auto table = std::span(grown.front).subspan(entries_at);
  std::uint64_t last_end = 0;
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t end = number(table, i * entry_bytes + entry_last, 8);
    if (end > last_end) {
      last_end = end;
      grown.partition_number = i + 1;
    }
  }
  if (grown.partition_number == 0 || medium_sectors <= back_sectors + growth_sectors_min ||
      last_end >= medium_sectors - back_sectors - growth_sectors_min) {
    return std::nullopt;
  }
  const std::uint64_t new_end = medium_sectors - back_sectors - 1;
  const auto entry = table.subspan((grown.partition_number - 1) * entry_bytes, entry_bytes);
  grown.partition_first = number(entry, entry_first, 8);
  if (grown.partition_first > last_end) return std::nullopt;
  put(entry, entry_last, 8, new_end);
  grown.partition_sectors = new_end - grown.partition_first + 1;
  put(grown.front, mbr_sectors_at, 4, std::min<std::uint64_t>(medium_sectors - 1, 0xFFFFFFFF));
  const auto header = std::span(grown.front).subspan(header_at, sector_bytes);
  put(header, header_other, 8, medium_sectors - 1);
  put(header, header_last_usable, 8, new_end);
  put(header, header_entries_crc, 4, crc32(table.first(entry_bytes * entries)));
  put(header, header_crc, 4, header_checksum(header));
  grown.back.assign(table.begin(), table.begin() + entry_bytes * entries);
  std::vector<std::uint8_t> copy(header.begin(), header.end());
  put(copy, header_self, 8, medium_sectors - 1);
  put(copy, header_other, 8, 1);
  put(copy, header_entries_at, 8, medium_sectors - back_sectors);
  put(copy, header_crc, 4, header_checksum(copy));
  grown.back.insert(grown.back.end(), copy.begin(), copy.end());
  return grown;
}

}  // namespace postern::firmware
