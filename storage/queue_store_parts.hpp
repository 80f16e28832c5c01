// What a QueueStore is made of; only queue_store*.cpp include this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/file.hpp"
#include "storage/database.hpp"
#include "storage/queue_store.hpp"
#include "storage/reserve.hpp"
#include "storage/snapshot.hpp"
#include "storage/spool.hpp"

namespace postern::storage {

// SQLite's integers are signed. Turning the top bit keeps ids in their own order on both sides; a
// plain cast would sort mail queued after September 2039, when that bit is first set, before all
// older mail.
[[nodiscard]] constexpr std::int64_t stored_id(QueueId id) {
  return static_cast<std::int64_t>(id.value ^ (std::uint64_t{1} << 63));
}
[[nodiscard]] constexpr QueueId queue_id(std::int64_t stored) {
  return {static_cast<std::uint64_t>(stored) ^ (std::uint64_t{1} << 63)};
}

[[nodiscard]] constexpr std::int64_t stored_time(WallTime time) {
  return time.time_since_epoch().count();
}
[[nodiscard]] constexpr WallTime wall_time(std::int64_t stored) {
  return WallTime(Duration(stored));
}

// Column `held`; anything else is not held.
inline constexpr std::int64_t held_stored = 0x55;
inline constexpr std::int64_t not_held_stored = 0x33;

struct QueueStore::Parts {
  // What the queue holds, kept in step with every change so that nobody has to count rows.
  struct Tally {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    std::uint64_t quarantined = 0;
  };
  // What changes are measured and undone by.
  struct Mark {
    Tally tally;
    std::size_t renamed = 0;
    std::size_t removed = 0;
  };

  std::string state_directory;
  FileDescriptor lock;  // given back last
  SpoolFiles real_files;
  SpoolFiles* files = nullptr;
  std::unique_ptr<Spool> spool;
  std::unique_ptr<Reserve> reserve;
  std::unique_ptr<Database> database;
  std::unique_ptr<Snapshot> snapshot;
  OpenReport report;

  Tally tally;
  std::uint64_t commits = 0;
  std::optional<Error> death;

  // Of the open transaction.
  bool in_transaction = false;
  std::optional<Error> lost;  // SQLite rolled it back on its own; this is why
  Mark at_begin;
  std::vector<QueueId>
      renamed;  // spool files that got their name; removed again when it is rolled back
  std::vector<QueueId> removed;  // spool files to remove after the commit

  [[nodiscard]] Result<> alive() const;
  void die(const Error& error);
  [[nodiscard]] Mark mark() const { return {tally, renamed.size(), removed.size()}; }
  void undo_to(const Mark& mark);
  void end_transaction();

  // Runs `work` inside a savepoint.
  template <class Work>
  [[nodiscard]] Result<> atomically(Work work);

  [[nodiscard]] Result<> open_database(const char* vfs);
  void make_room();
  [[nodiscard]] Result<> take_reserve();
  [[nodiscard]] Result<std::uint64_t> room_bytes() const;
  [[nodiscard]] Result<> require_room(std::uint64_t bytes) const;
  [[nodiscard]] Result<> insert(const NewMessage& message, std::optional<std::uint64_t> token);
  [[nodiscard]] Result<> insert_rows(const NewMessage& message, std::optional<std::uint64_t> token);
  [[nodiscard]] Result<> record(const AttemptRecord& record);
  [[nodiscard]] Result<> remove(QueueId id);
  [[nodiscard]] Result<> quarantine(QueueId id, std::string_view reason);
  [[nodiscard]] Result<> change(const Sql& sql, std::int64_t value, QueueId id);

  [[nodiscard]] Result<> count_all();
  // Messages of which only recipients are left: a flipped bit took their row.
  [[nodiscard]] Result<std::vector<QueueId>> without_row();
  [[nodiscard]] Result<bool> is_spooled(QueueId id);
  // Spooled messages, not yet quarantined, whose file is missing or of another length.
  [[nodiscard]] Result<std::vector<QueueId>> damaged();
};

}  // namespace postern::storage
