// Snapshots of the store in use; see queue_store.hpp and snapshot.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "relay/base/assert.hpp"
#include "storage/queue_store_parts.hpp"

namespace postern::storage {

namespace {

constexpr Sql bodies_sql{"list the spooled bodies",
                         "SELECT id FROM message WHERE spool_bytes IS NOT NULL"};
// What mail may take while the snapshot is made and read; and where making it breaks off.
constexpr std::uint64_t margin_bytes = std::uint64_t{64} * 1024 * 1024;
constexpr std::uint64_t margin_bytes_min = margin_bytes / 2;

std::unexpected<Error> fail_room(const std::string& detail) {
  return fail(ErrorKind::no_space, "make a snapshot of the queue", detail);
}

}  // namespace

bool QueueStore::snapshot_underway() const {
  return parts_->snapshot && !parts_->snapshot->whole();
}

// Beside the reserve: a backup must not be what fills the disk for the mail.
Result<> QueueStore::begin_snapshot() {
  Parts& parts = *parts_;
  POSTERN_ASSERT(!parts.in_transaction);
  if (auto living = parts.alive(); !living) return living;
  if (parts.snapshot && (!parts.snapshot->whole() || parts.snapshot->is_read())) {
    return fail(ErrorKind::busy, "make a snapshot of the queue", "another backup is being made");
  }
  parts.snapshot.reset();
  std::uint64_t needed = 0;
  for (const char* name : {"/queue.db", "/queue.db-wal"}) {
    needed += static_cast<std::uint64_t>(
        std::max<std::int64_t>(parts.files->size(parts.state_directory + name), 0));
  }
  // The database grows meanwhile.
  needed += needed / 4 + margin_bytes;
  const Result<std::uint64_t> room = parts.room_bytes();
  if (!room) return std::unexpected(room.error());
  if (*room < needed) {
    return fail_room(
        fmt::format("{} octets must be free in {} while the backup is made, and {} are free "
                    "beside what mail needs",
                    needed, parts.state_directory, *room));
  }
  auto begun = Snapshot::begin(*parts.database, parts.state_directory, *parts.files);
  if (!begun) return std::unexpected(begun.error());
  parts.snapshot = std::move(*begun);
  return {};
}

Result<std::string> QueueStore::step_snapshot() {
  Parts& parts = *parts_;
  POSTERN_ASSERT(!parts.in_transaction && snapshot_underway());
  const auto step = [&parts]() -> Result<bool> {
    if (auto living = parts.alive(); !living) return std::unexpected(living.error());
    const Result<std::uint64_t> room = parts.room_bytes();
    if (!room) return std::unexpected(room.error());
    if (*room < margin_bytes_min)
      return fail_room("meanwhile the disk became so full that mail needs the room");
    const auto whole = parts.snapshot->step();
    if (!whole || !*whole) return whole;
    auto query = parts.database->query(bodies_sql);
    if (!query) return std::unexpected(query.error());
    while (true) {
      const Result<bool> row = query->next();
      if (!row) return row;
      if (!*row) break;
      if (auto done = parts.snapshot->link_body(queue_id(query->integer_at(0))); !done)
        return std::unexpected(done.error());
    }
    if (auto done = parts.snapshot->finish(); !done) return std::unexpected(done.error());
    return true;
  };
  const auto whole = step();
  if (whole) return *whole ? parts.snapshot->folder() : std::string();
  parts.snapshot.reset();
  return std::unexpected(whole.error());
}

}  // namespace postern::storage
