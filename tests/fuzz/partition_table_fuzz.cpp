// links: postern_firmware
// The front of a medium (GPT): what grows is a sound table again, in which nothing more can grow.
// The checksums are mended, because no fuzzer finds one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "firmware/init/partition_table.hpp"

namespace {

void put(std::vector<std::uint8_t>& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  if (size < 8) return 0;
  std::uint64_t sectors = 0;
  for (std::size_t i = 0; i < 6; ++i) sectors = sectors << 8 | data[i];
  std::vector<std::uint8_t> front(data + 6, data + size);
  front.resize(table_sectors * sector_bytes);
  put(front, 512 + 88, crc32(std::span(front).subspan(1024, 128UZ * 128)));
  put(front, 512 + 16, 0);
  put(front, 512 + 16, crc32(std::span(front).subspan(512, 92)));
  const auto grown = grow_last_partition(front, sectors);
  if (!grown) return 0;
  if (grown->partition_sectors > sectors ||
      grown->partition_first > sectors - grown->partition_sectors ||
      grow_last_partition(grown->front, sectors)) {
    std::abort();
  }
  return 0;
}
