// links: postern_backup
// The entries of a backup, and its head: whatever the octets are, no entry is handed on that may
// not be in a backup, none comes out of order, and no file is longer than it said.
#include <algorithm>

#include "crypto/sealed_file.hpp"
#include "relay/backup/archive.hpp"
#include "relay/base/assert.hpp"

namespace {

using namespace postern::backup;

struct Judge final : ArchiveSink {
  Entry last;
  std::uint64_t left = 0;
  std::uint32_t count = 0;
  postern::Result<> begin(const Entry& entry) override {
    POSTERN_ASSERT(check_entry(entry) && (count == 0 || comes_before(last, entry)) && left == 0);
    POSTERN_ASSERT(!entry.path.contains("..") || entry.place == Place::configuration);
    last = entry;
    left = entry.size;
    ++count;
    return {};
  }
  postern::Result<> content(postern::ByteView octets) override {
    POSTERN_ASSERT(!octets.empty() && octets.size() <= left);
    left -= octets.size();
    return {};
  }
  postern::Result<> end_file(std::string_view) override {
    POSTERN_ASSERT(left == 0);
    return {};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t piece = std::size_t{data[0]} + 1;
  const postern::ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  const auto cost = postern::crypto::read_sealed_file_cost(input);
  POSTERN_ASSERT(!cost || (cost->passes <= 16 && cost->memory_kib <= 256 * 1024));
  Judge judge;
  ArchiveReader reader(judge);
  for (std::size_t at = 0; at < input.size(); at += piece) {
    if (!reader.read(input.subspan(at, std::min(piece, input.size() - at)))) return 0;
  }
  static_cast<void>(reader.finish());
  return 0;
}
