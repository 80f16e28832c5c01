// Whether SQLite's write-ahead log was damaged since it was written.
//
// SQLite takes the first frame whose checksum is wrong for the log's end, and so forgets every
// commit behind it without a word. A power cut can break only the last commit, the one that was not
// synced. So: a commit behind the broken one means damage by the medium.
//
// Promise: nothing is changed here. Sharp edge: that holds only where the start before wiped the
// frames of broken commits (Database::renew_log); damage inside the very last commit looks like a
// power cut and is taken for one. The format: https://www.sqlite.org/fileformat2.html, section 4.
#pragma once

#include <cstdint>
#include <string>

#include "relay/base/error.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

struct LogState {
  // Behind the last whole commit; what stands there is no part of the database.
  std::uint64_t committed_bytes = 0;
  // Commits that stand behind the first broken frame, or its own.
  std::uint64_t commits_lost = 0;
  bool header_broken = false;
  [[nodiscard]] bool damaged() const { return commits_lost > (header_broken ? 0 : 1); }
};

// `fd` is open for reading.
[[nodiscard]] Result<LogState> check_log(SpoolFiles& files, int fd, const std::string& path);

}  // namespace postern::storage
