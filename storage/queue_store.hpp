// The queue on disk: one SQLite database and a spool folder, used by one thread.
//
// Promise: after commit() returned success, everything done since begin() survives a power cut
// (WAL, synchronous=FULL, read back at open; spool files are synced with their directory before
// their row is committed). A message's row is the commit point: a spool file without a row is swept
// at open, a row without its file is quarantined and told. Errors: no_space for a full disk,
// unsupported for a schema newer than ours, denied for a state directory of another user, corrupt
// for a file that is no database. Sharp edge: after a failed commit or sync the store refuses all
// further work (a failed fsync is never retried: the kernel may have dropped the pages); the
// process must stop, restart and recover.
//
// Use storage_thread.hpp from anywhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/error.hpp"
#include "storage/stored_message.hpp"

namespace postern::storage {

// Larger sealed bodies go to the spool.
inline constexpr std::size_t body_in_row_bytes_max = std::size_t{256} * 1024;
// Mail is refused (no_space) when less than this would stay free beside the reserve (reserve.hpp):
// the database grows by the log (8 MiB) and one batch (4 MiB) when they are copied back. So our own
// mail seldom is what fills the disk; a quota or another program's writing still can.
inline constexpr std::uint64_t free_bytes_min = std::uint64_t{12} * 1024 * 1024;

struct SpoolFiles;  // spool_files.hpp

struct OpenReport {
  std::uint64_t swept_files = 0;
  std::vector<QueueId> quarantined;
  // Only recipients were left of them. What stands in does not open, so delivery quarantines it and
  // tells a person.
  std::vector<QueueId> lost;
  std::optional<std::string> log_damage;  // one sentence: mail may be missing
};

class QueueStore {
 public:
  // Makes the state directory (0700) and the database where they are missing, and takes the lock
  // that keeps a second daemon out. `vfs` (a registered SQLite VFS) and `files` (which must outlive
  // the store) are for tests that make the nth disk operation fail; nullptr is the real disk.
  [[nodiscard]] static Result<std::unique_ptr<QueueStore>> open(const std::string& state_directory,
                                                                const char* vfs = nullptr,
                                                                SpoolFiles* files = nullptr);
  ~QueueStore();
  QueueStore(const QueueStore&) = delete;
  QueueStore& operator=(const QueueStore&) = delete;
  [[nodiscard]] const OpenReport& open_report() const;

  [[nodiscard]] Result<> begin();
  // Syncs. On failure the store is dead, and only the restart finds out whether the log holds the
  // transaction after all (then a message comes twice, never not at all). Except: no_space, when
  // the transaction is undone, the reserve is given up and the store lives on; what must be
  // recorded may be tried once more, and now has the room that was kept for it.
  [[nodiscard]] Result<> commit();
  void roll_back();
  // To be called now and then outside begin()/commit(), after the answers went out: copies the log
  // back when it has grown, and takes a given up reserve again when there is room. A failure there
  // leaves the store dead, while all that was committed stays safe in the log.
  void maintain();
  [[nodiscard]] bool reserve_held() const;
  // Why the store refuses all further work; nullptr while it lives.
  [[nodiscard]] const Error* death() const;

  // Spool: `token` names a file being written, chosen by the caller, unique in this process.
  // Nothing is synced before insert() takes the file.
  [[nodiscard]] Result<> append_to_spool(std::uint64_t token, ByteView sealed);
  void discard_spool(std::uint64_t token);

  // Inside begin()/commit(); each is done whole or, on failure, not at all, and then leaves the
  // rest of the transaction as it was. For a spooled body `token` is the spool file, which is
  // synced and renamed here; it is spent in every case. not_found: there is no such message (any
  // more).
  [[nodiscard]] Result<> insert(const NewMessage& message, std::optional<std::uint64_t> token);
  [[nodiscard]] Result<> record(
      const AttemptRecord& record);  // removes the message when nobody waits any more
  [[nodiscard]] Result<> set_held(QueueId id, bool held);
  [[nodiscard]] Result<> set_quarantined(QueueId id, std::string_view reason);
  [[nodiscard]] Result<> remove(QueueId id);
  [[nodiscard]] Result<> save_counter(std::string_view name, std::string_view value);
  // Removes every counter that begins with `prefix` and is none of `kept`: those of users who are
  // gone.
  [[nodiscard]] Result<> keep_counters(std::string_view prefix,
                                       const std::vector<std::string>& kept);

  // For a backup, between transactions (snapshot.hpp): begun, then stepped until it names its
  // folder (empty: not whole yet) or fails, which ends it.
  [[nodiscard]] Result<> begin_snapshot();
  [[nodiscard]] bool snapshot_underway() const;
  [[nodiscard]] Result<std::string> step_snapshot();

  [[nodiscard]] Result<std::vector<MessageSummary>> summaries(std::size_t messages_max,
                                                              QueueId after);
  [[nodiscard]] Result<StoredMessage> load(QueueId id);
  // Sealed body octets from `offset`, at most `bytes_max`; empty at the end.
  [[nodiscard]] Result<Bytes> read_body(QueueId id, std::uint64_t offset, std::size_t bytes_max);
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> counters();
  [[nodiscard]] Result<QueueFigures> figures();

 private:
  QueueStore();
  [[nodiscard]] Result<> quarantine_damaged();
  [[nodiscard]] Result<> stand_in(QueueId id);
  template <class Change>
  [[nodiscard]] Result<> change_at_open(const std::vector<QueueId>& messages, Change change);
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::storage
