// Walking the frames of the write-ahead log; see log_check.hpp.
#include "storage/log_check.hpp"

#include <algorithm>
#include <span>

#include "relay/base/bytes.hpp"

namespace postern::storage {

namespace {

constexpr std::size_t header_bytes = 32;
constexpr std::size_t frame_header_bytes = 24;
constexpr std::uint32_t magic = 0x377f0682;  // or one more: checksums over big-endian words
constexpr std::uint32_t page_bytes_min = 512;
constexpr std::uint32_t page_bytes_max = 65'536;
constexpr std::uint32_t page_bytes_usual = 4'096;

std::uint32_t big_endian(ByteView octets, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | std::to_integer<std::uint32_t>(octets[at + i]);
  }
  return value;
}

std::uint32_t little_endian(ByteView octets, std::size_t at) {
  return __builtin_bswap32(big_endian(octets, at));
}

struct Checksum {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  bool big = false;

  void add(ByteView octets) {
    for (std::size_t at = 0; at + 8 <= octets.size(); at += 8) {
      first += (big ? big_endian(octets, at) : little_endian(octets, at)) + second;
      second += (big ? big_endian(octets, at + 4) : little_endian(octets, at + 4)) + first;
    }
  }
  [[nodiscard]] bool stands_at(ByteView octets, std::size_t at) const {
    return big_endian(octets, at) == first && big_endian(octets, at + 4) == second;
  }
};

// False: the file ends before.
Result<bool> read_whole(SpoolFiles& files, int fd, const std::string& path, std::uint64_t offset,
                        Bytes& octets) {
  std::size_t done = 0;
  while (done < octets.size()) {
    const std::int64_t got = files.read_at(fd, offset + done, std::span(octets).subspan(done));
    if (got < 0) return fail_errno("read " + path, static_cast<int>(-got));
    if (got == 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

bool is_page_size(std::uint32_t bytes) {
  return bytes >= page_bytes_min && bytes <= page_bytes_max && (bytes & (bytes - 1)) == 0;
}

}  // namespace

Result<LogState> check_log(SpoolFiles& files, int fd, const std::string& path) {
  LogState state;
  Bytes header(header_bytes);
  const Result<bool> begun = read_whole(files, fd, path, 0, header);
  if (!begun) return std::unexpected(begun.error());
  if (!*begun) return state;
  const std::uint32_t mark = big_endian(header, 0);
  Checksum sum{0, 0, (mark & 1) != 0};
  sum.add(ByteView(header).first(24));
  std::uint32_t page_bytes = big_endian(header, 8);
  state.header_broken =
      (mark & ~1U) != magic || !is_page_size(page_bytes) || !sum.stands_at(header, 24);
  if (state.header_broken) page_bytes = page_bytes_usual;

  Bytes salts(header.begin() + 16, header.begin() + 24);
  Bytes frame(frame_header_bytes + page_bytes);
  bool whole = !state.header_broken;
  if (whole) state.committed_bytes = header_bytes;
  for (std::uint64_t offset = header_bytes;; offset += frame.size()) {
    const Result<bool> there = read_whole(files, fd, path, offset, frame);
    if (!there) return std::unexpected(there.error());
    if (!*there) return state;
    const ByteView octets(frame);
    // A broken header's salts may be the broken part: the first frame has them as well.
    if (state.header_broken && offset == header_bytes) {
      salts.assign(frame.begin() + 8, frame.begin() + 16);
      continue;
    }
    const bool ours = std::equal(salts.begin(), salts.end(), frame.begin() + 8);
    sum.add(octets.first(8));
    sum.add(octets.subspan(frame_header_bytes));
    whole = whole && ours && sum.stands_at(octets, 16);
    const bool commits = big_endian(octets, 4) != 0;
    if (whole && commits) state.committed_bytes = offset + frame.size();
    if (!whole && commits && ours) ++state.commits_lost;
  }
}

}  // namespace postern::storage
