// The queue store's life, transactions and room; see queue_store.hpp. Changes are in
// queue_store_change.cpp, reading is in queue_store_read.cpp.
//
// The dangerous moments: a spool file gets its final name before its row is committed (a crash
// between the two leaves a file without a row, which the next start sweeps), and loses its file
// only after the row's removal is committed (a crash leaves the same).
#include "storage/queue_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "relay/base/assert.hpp"
#include "storage/queue_store_parts.hpp"
#include "storage/state_directory.hpp"

namespace postern::storage {

namespace {

constexpr Sql begin_sql{"begin a transaction", "BEGIN IMMEDIATE"};
constexpr Sql commit_sql{"commit", "COMMIT"};
constexpr Sql roll_back_sql{"roll back", "ROLLBACK"};
}  // namespace

// --- Life and death

QueueStore::QueueStore() : parts_(std::make_unique<Parts>()) {}

QueueStore::~QueueStore() { roll_back(); }

Result<std::unique_ptr<QueueStore>> QueueStore::open(const std::string& state_directory,
                                                     const char* vfs, SpoolFiles* files) {
  std::unique_ptr<QueueStore> store(new QueueStore);
  Parts& parts = *store->parts_;
  parts.state_directory = state_directory;
  parts.files = files != nullptr ? files : &parts.real_files;

  Result<FileDescriptor> lock = claim_state_directory(state_directory, *parts.files);
  if (!lock) return std::unexpected(lock.error());
  parts.lock = std::move(*lock);

  const std::string spool_folder = state_directory + "/spool";
  if (auto made = make_private_directory(spool_folder, *parts.files); !made) {
    return std::unexpected(made.error());
  }
  parts.spool = std::make_unique<Spool>(spool_folder, *parts.files);
  parts.reserve = std::make_unique<Reserve>(state_directory, *parts.files);

  if (auto swept = sweep_snapshot(state_directory, *parts.files); !swept)
    return std::unexpected(swept.error());
  if (auto opened = parts.open_database(vfs); !opened) return std::unexpected(opened.error());
  // The names of a new database and its log, without which their synced octets could not be found.
  if (const int code = parts.files->sync_folder(state_directory); code < 0) {
    return fail_errno("sync " + state_directory, -code);
  }

  if (auto counted = parts.count_all(); !counted) return std::unexpected(counted.error());
  if (auto done = store->quarantine_damaged(); !done) return std::unexpected(done.error());
  if (auto taken = parts.take_reserve(); !taken) return std::unexpected(taken.error());
  return store;
}

// On a full disk the reserve is what a start may need: the log of a kill is written again.
Result<> QueueStore::Parts::open_database(const char* vfs) {
  const std::string path = state_directory + "/queue.db";
  Result<std::unique_ptr<Database>> opened = Database::open(path, vfs, *files);
  if (!opened && opened.error().kind == ErrorKind::no_space && reserve->give_up()) {
    opened = Database::open(path, vfs, *files);
  }
  if (!opened) return std::unexpected(opened.error());
  database = std::move(*opened);
  report.log_damage = database->log_damage();
  return {};
}

// In one commit. One that meets a full disk has made room by giving up the reserve, so it is tried
// again.
template <class Change>
Result<> QueueStore::change_at_open(const std::vector<QueueId>& messages, Change change) {
  const auto change_all = [&]() -> Result<> {
    if (messages.empty()) return {};
    if (auto begun = begin(); !begun) return begun;
    for (const QueueId id : messages) {
      if (auto done = change(id); !done) {
        roll_back();
        return done;
      }
    }
    return commit();
  };
  const Result<> done = change_all();
  if (done || done.error().kind != ErrorKind::no_space) return done;
  return change_all();
}

// What lost its row gets one, then what lost its body is looked for.
Result<> QueueStore::quarantine_damaged() {
  Parts& parts = *parts_;
  Result<std::vector<QueueId>> lost = parts.without_row();
  if (!lost) return std::unexpected(lost.error());
  auto done = change_at_open(*lost, [this](QueueId id) { return stand_in(id); });
  if (!done) return done;
  parts.report.lost = std::move(*lost);

  Result<std::uint64_t> swept =
      parts.spool->sweep([&parts](QueueId id) { return parts.is_spooled(id); });
  if (!swept) return std::unexpected(swept.error());
  parts.report.swept_files = *swept;

  Result<std::vector<QueueId>> damaged = parts.damaged();
  if (!damaged) return std::unexpected(damaged.error());
  done = change_at_open(*damaged, [this](QueueId id) {
    return set_quarantined(
        id, "its body file in the spool is missing or cut short; ask the sender to send it again");
  });
  if (!done) return done;
  parts.report.quarantined = std::move(*damaged);
  return {};
}

const OpenReport& QueueStore::open_report() const { return parts_->report; }

const Error* QueueStore::death() const { return parts_->death ? &*parts_->death : nullptr; }

Result<> QueueStore::Parts::alive() const {
  if (!death) return {};
  return fail(ErrorKind::io, "use the queue in " + state_directory,
              fmt::format("it stopped after a failure ({}); check the disk and restart Postern, "
                          "which recovers all that was committed",
                          death->text()));
}

void QueueStore::Parts::die(const Error& error) {
  if (death) return;
  death = error;
  database->leave_log_at_close();
}

// --- Transactions

Result<> QueueStore::begin() {
  POSTERN_ASSERT(!parts_->in_transaction);
  if (auto living = parts_->alive(); !living) return living;
  if (auto begun = parts_->database->run(begin_sql); !begun) return begun;
  parts_->in_transaction = true;
  parts_->at_begin = parts_->mark();
  return {};
}

Result<> QueueStore::commit() {
  Parts& parts = *parts_;
  POSTERN_ASSERT(parts.in_transaction);
  if (auto living = parts.alive(); !living) {
    roll_back();
    return living;
  }
  if (!parts.lost && !parts.renamed.empty()) {
    if (auto synced = parts.spool->sync_folder(); !synced) {
      parts.die(synced.error());
      roll_back();
      return synced;
    }
  }
  Result<> done;
  if (parts.lost) {
    done = std::unexpected(*parts.lost);  // nothing of it reached the log
  } else {
    done = parts.database->run(commit_sql);
  }
  if (!done) {
    // A full disk leaves SQLite fit to go on: the last frame, which alone commits, was not written.
    // Of any other failure the log may or may not hold the transaction: spool files stay, and the
    // restart decides by their rows.
    const bool full = done.error().kind == ErrorKind::no_space;
    if (!full) parts.die(done.error());
    roll_back();
    if (full) parts.make_room();
    return done;
  }
  ++parts.commits;
  for (const QueueId id : parts.removed) parts.spool->remove(id);
  parts.end_transaction();
  return {};
}

void QueueStore::roll_back() {
  Parts& parts = *parts_;
  if (!parts.in_transaction) return;
  if (!parts.database->outside_transaction()) {
    if (auto done = parts.database->run(roll_back_sql); !done) parts.die(done.error());
  }
  parts.undo_to(parts.at_begin);
  parts.end_transaction();
}

void QueueStore::maintain() {
  Parts& parts = *parts_;
  POSTERN_ASSERT(!parts.in_transaction);
  if (parts.snapshot && parts.snapshot->abandoned(Snapshot::Clock::now())) parts.snapshot.reset();
  if (parts.death) return;
  if (parts.database->checkpoint_due()) {
    Result<> done = parts.database->checkpoint();
    if (!done && done.error().kind == ErrorKind::no_space) {
      parts.make_room();  // and once more
    } else if (!done) {
      parts.die(done.error());
    }
  }
  if (parts.death || parts.reserve->held()) return;
  if (auto taken = parts.take_reserve(); !taken) parts.die(taken.error());
}

void QueueStore::Parts::undo_to(const Mark& mark) {
  tally = mark.tally;
  for (std::size_t at = mark.renamed; at < renamed.size(); ++at) {
    if (!death) spool->remove(renamed[at]);
  }
  renamed.resize(mark.renamed);
  removed.resize(mark.removed);
}

void QueueStore::Parts::end_transaction() {
  in_transaction = false;
  lost.reset();
  renamed.clear();
  removed.clear();
}

// --- Room

// The disk was found full. The log starts anew once it is copied back whole, in the room that it
// has already, so that outcomes need no more of the disk; and what a commit that failed left of
// itself behind the log's end then belongs to no log, and is not taken for damage at a start.
void QueueStore::Parts::make_room() {
  if (death) return;
  static_cast<void>(reserve->give_up());
  auto done = database->checkpoint();
  // Still full: that only puts it off, nothing was synced that could have been lost.
  if (!done && done.error().kind != ErrorKind::no_space) die(done.error());
}

// Where it is not held and there is room for it. A disk that cannot be measured has none.
Result<> QueueStore::Parts::take_reserve() {
  if (!reserve->held()) {
    const Result<std::uint64_t> free = files->free_bytes(state_directory);
    if (!free || *free < reserve_bytes + free_bytes_min) return {};
  }
  return reserve->take();
}

Result<std::uint64_t> QueueStore::Parts::room_bytes() const {
  const Result<std::uint64_t> free = files->free_bytes(state_directory);
  if (!free) return free;
  const std::uint64_t kept = free_bytes_min + (reserve->held() ? 0 : reserve_bytes);
  return *free - std::min(*free, kept);
}

Result<> QueueStore::Parts::require_room(std::uint64_t bytes) const {
  const Result<std::uint64_t> room = room_bytes();
  if (!room) return std::unexpected(room.error());
  if (*room >= bytes) return {};
  return fail(ErrorKind::no_space, "take mail into " + state_directory,
              fmt::format("there is room for {} octets beside what is kept for finishing what is "
                          "queued; make room on this file system",
                          *room));
}

bool QueueStore::reserve_held() const { return parts_->reserve->held(); }

Result<> QueueStore::append_to_spool(std::uint64_t token, ByteView sealed) {
  if (auto living = parts_->alive(); !living) return living;
  if (auto room = parts_->require_room(sealed.size()); !room) return room;
  return parts_->spool->append(token, sealed);
}

void QueueStore::discard_spool(std::uint64_t token) { parts_->spool->discard(token); }

}  // namespace postern::storage
