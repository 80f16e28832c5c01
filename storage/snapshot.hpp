// `snapshot` in the state directory: the queue as it was at one moment, for a backup.
//
//   snapshot/queue.db              the database, whole, with nothing in a log; until all below
//                                  is there its name is queue.db.part
//   snapshot/spool/<id>.body       second names of the bodies, which so cannot vanish meanwhile
//
// Promise: everything that was acknowledged before it was asked for is in it. Whoever reads it
// holds a lock (flock(2), shared) on its queue.db; one that nobody holds goes after a minute, when
// the next is asked for, and at the next start. Sharp edge: it takes as much room as the database.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "relay/base/error.hpp"
#include "relay/base/queue_id.hpp"
#include "storage/database_copy.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

// A step is one MiB: less than a batch of mail, so that no commit waits long for it.
inline constexpr int snapshot_step_pages = 256;

class Snapshot {
 public:
  using Clock = std::chrono::steady_clock;

  // Without the bodies; `files` must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Snapshot>> begin(Database& database,
                                                               const std::string& state_directory,
                                                               SpoolFiles& files);
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot();  // removes the folder

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] bool whole() const { return copy_ == nullptr; }
  // True: the database is whole; then each body is to be linked before anything else is committed.
  [[nodiscard]] Result<bool> step();
  [[nodiscard]] Result<> link_body(QueueId id);
  [[nodiscard]] Result<> finish();  // after the last body
  // Nobody reads it, and nobody will any more.
  [[nodiscard]] bool abandoned(Clock::time_point now) const;
  [[nodiscard]] bool is_read() const;

 private:
  Snapshot(const std::string& state_directory, SpoolFiles& files);
  std::string state_directory_;
  std::string folder_;
  SpoolFiles* files_;
  std::unique_ptr<DatabaseCopy> copy_;
  Clock::time_point whole_since_{};
};

// What a backup that was killed left behind.
[[nodiscard]] Result<> sweep_snapshot(const std::string& state_directory, SpoolFiles& files);

// The same folder, made of the files of a relay that does not run: the caller holds the state
// directory's lock and calls sweep_snapshot() at the end. What a kill left in the log is taken in,
// in the copy. What the opened copy told (OpenReport::log_damage); no snapshot where there is no
// queue: then the folder is not made.
struct StoppedSnapshot {
  std::string folder;  // empty: there is no queue
  std::string log_damage;
};
[[nodiscard]] Result<StoppedSnapshot> snapshot_stopped_queue(const std::string& state_directory);

// A queue unpacked from a backup, brought up to this schema and, with `hold`, held whole: opened as
// a start would and closed again, with nothing but queue.db and spool left in the folder.
struct PreparedQueue {
  std::uint64_t messages = 0;
  std::uint64_t damaged = 0;  // their bodies are missing; a person is told at the start
};
[[nodiscard]] Result<PreparedQueue> prepare_restored_queue(const std::string& folder, bool hold);

}  // namespace postern::storage
