// The spool folder: sealed bodies too large for a row, one file each.
//
// Promise: a file gets its name "<queue id>.body" only after its octets are synced; until then it
// is
// "<token>.partial", which any start sweeps. A file whose writing failed is never kept.
// Sharp edge: keep() leaves the folder itself unsynced; sync_folder() must succeed before the row
// that names the file is committed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"
#include "relay/base/file.hpp"
#include "relay/base/queue_id.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

// Files being written at once: well under the usual limit of 1,024 descriptors of a process.
inline constexpr std::size_t spool_files_open_max = 512;
// One read of a body never takes more memory than this, whatever was asked.
inline constexpr std::size_t spool_read_bytes_max = std::size_t{1024} * 1024;

class Spool {
 public:
  // `files` must outlive the spool.
  Spool(std::string folder, SpoolFiles& files) : folder_(std::move(folder)), files_(&files) {}
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  ~Spool();  // drops unfinished files

  [[nodiscard]] Result<> append(std::uint64_t token, ByteView sealed);
  void discard(std::uint64_t token);
  [[nodiscard]] bool writing(std::uint64_t token) const { return writing_.contains(token); }
  [[nodiscard]] std::uint64_t written_bytes(std::uint64_t token) const;

  // Syncs the file and gives it its name; the token is spent. `sync_failed` tells a failed sync,
  // after which nothing may be written any more, from all other failures.
  [[nodiscard]] Result<> keep(std::uint64_t token, QueueId id, bool& sync_failed);
  [[nodiscard]] Result<> sync_folder();
  void remove(QueueId id);  // a file that stays is swept at the next start

  [[nodiscard]] Result<Bytes> read(QueueId id, std::uint64_t offset, std::size_t bytes_max) const;
  // Nothing: there is no such file. A medium that cannot be read is an Error: mail is not called
  // damaged for it.
  [[nodiscard]] Result<std::optional<std::uint64_t>> size(QueueId id) const;

  // Removes every file of ours for which `wanted` says no; the count of those removed.
  [[nodiscard]] Result<std::uint64_t> sweep(const std::function<Result<bool>(QueueId)>& wanted);

 private:
  struct Writing {
    FileDescriptor file;
    std::uint64_t bytes = 0;
    std::optional<Error> failed;
  };
  [[nodiscard]] std::string partial_path(std::uint64_t token) const;
  [[nodiscard]] std::string body_path(QueueId id) const;

  std::string folder_;
  SpoolFiles* files_;
  std::unordered_map<std::uint64_t, Writing> writing_;
};

}  // namespace postern::storage
