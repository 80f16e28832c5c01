// Snapshots of the queue; see the header.
#include "storage/snapshot.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "relay/base/file.hpp"
#include "storage/queue_store.hpp"

namespace postern::storage {

namespace {

// From "it is whole" to the reader's lock; generous for a command on a busy machine.
constexpr std::chrono::seconds pick_up_time_max{60};
constexpr std::size_t piece_bytes = std::size_t{256} * 1024;
constexpr char unfinished_name[] = "/queue.db.part";
// What opening a copy as a queue makes beside it.
constexpr std::array side_files = {"lock", "reserve"};

std::string folder_of(const std::string& state_directory) { return state_directory + "/snapshot"; }

Result<> make_folder(const std::string& path, SpoolFiles& files) {
  if (const int code = files.make_folder(path); code < 0) return fail_errno("make " + path, -code);
  return {};
}

Result<> copy_file(const std::string& from, const std::string& to, SpoolFiles& files) {
  const int in = files.open_for_reading(from);
  const FileDescriptor source(in);
  if (!source) return fail_errno("open " + from, -in);
  const int out = files.create(to);
  const FileDescriptor target(out);
  if (!target) return fail_errno("make " + to, -out);
  Bytes piece(piece_bytes);
  for (std::uint64_t offset = 0;;) {
    const std::int64_t got = files.read_at(source.get(), offset, piece);
    if (got < 0) return fail_errno("read " + from, static_cast<int>(-got));
    if (got == 0) return {};
    offset += static_cast<std::uint64_t>(got);
    ByteView rest(piece.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const std::int64_t written = files.write(target.get(), rest);
      if (written <= 0)
        return fail_errno("write " + to, written == 0 ? EIO : static_cast<int>(-written));
      rest = rest.subspan(static_cast<std::size_t>(written));
    }
  }
}

// Everything in the folder goes; there are no folders in it but those emptied before.
Result<> remove_all_in(const std::string& folder, SpoolFiles& files) {
  std::vector<std::string> names;
  if (const int code = files.list(folder, names); code < 0)
    return code == -ENOENT ? Result<>() : fail_errno("list " + folder, -code);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string path = folder + "/" + name;
    if (const int code = files.unlink(path); code < 0 && code != -ENOENT)
      return fail_errno("remove " + path, -code);
  }
  if (const int code = files.remove_folder(folder); code < 0 && code != -ENOENT)
    return fail_errno("remove " + folder, -code);
  return {};
}

Result<> copy_state(const std::string& state_directory, const std::string& folder,
                    SpoolFiles& files) {
  const std::string spool = state_directory + "/spool";
  for (const std::string& made : {folder, folder + "/spool"}) {
    if (auto done = make_folder(made, files); !done) return done;
  }
  for (const char* name : {"/queue.db", "/queue.db-wal"}) {
    if (files.size(state_directory + name) == -ENOENT) continue;
    if (auto done = copy_file(state_directory + name, folder + name, files); !done) return done;
  }
  std::vector<std::string> names;
  if (const int code = files.list(spool, names); code < 0 && code != -ENOENT)
    return fail_errno("list " + spool, -code);
  for (const std::string& name : names) {
    if (!name.ends_with(".body")) continue;
    const std::string from = spool + "/" + name;
    if (const int code = files.link(from, folder + "/spool/" + name); code < 0)
      return fail_errno("link " + from, -code);
  }
  return {};
}

Result<> remove_side_files(const std::string& folder, SpoolFiles& files) {
  for (const char* name : side_files) {
    const std::string path = folder + "/" + name;
    if (const int code = files.unlink(path); code < 0 && code != -ENOENT)
      return fail_errno("remove " + path, -code);
  }
  if (files.size(folder + "/queue.db-wal") > 0) {
    return fail(ErrorKind::io, "close the copy of the queue in " + folder,
                "its log could not be copied back; is the disk full?");
  }
  return {};
}

Result<> hold_all(QueueStore& store) {
  constexpr std::size_t page = 1'000;
  QueueId after{};
  while (true) {
    const auto some = store.summaries(page, after);
    if (!some) return std::unexpected(some.error());
    if (some->empty()) return {};
    if (auto begun = store.begin(); !begun) return begun;
    for (const MessageSummary& summary : *some) {
      if (auto held = store.set_held(summary.id, true); !held) {
        store.roll_back();
        return held;
      }
    }
    if (auto committed = store.commit(); !committed) return committed;
    after = some->back().id;
  }
}

}  // namespace

Snapshot::Snapshot(const std::string& state_directory, SpoolFiles& files)
    : state_directory_(state_directory), folder_(folder_of(state_directory)), files_(&files) {}

Snapshot::~Snapshot() {
  copy_.reset();
  static_cast<void>(sweep_snapshot(state_directory_, *files_));
}

Result<std::unique_ptr<Snapshot>> Snapshot::begin(Database& database,
                                                  const std::string& state_directory,
                                                  SpoolFiles& files) {
  if (auto swept = sweep_snapshot(state_directory, files); !swept)
    return std::unexpected(swept.error());
  std::unique_ptr<Snapshot> snapshot(new Snapshot(state_directory, files));
  for (const std::string& made : {snapshot->folder_, snapshot->folder_ + "/spool"}) {
    if (auto done = make_folder(made, files); !done) return std::unexpected(done.error());
  }
  auto copy = DatabaseCopy::begin(database, snapshot->folder_ + unfinished_name, files);
  if (!copy) return std::unexpected(copy.error());
  snapshot->copy_ = std::move(*copy);
  return snapshot;
}

Result<bool> Snapshot::step() {
  const auto done = copy_->step(snapshot_step_pages);
  if (!done || !*done) return done;
  copy_.reset();
  return true;
}

// Only now: a reader that comes upon the folder too early must not take it for whole.
Result<> Snapshot::finish() {
  const std::string name = folder_ + "/queue.db";
  if (const int code = files_->rename(folder_ + unfinished_name, name); code < 0)
    return fail_errno("rename to " + name, -code);
  whole_since_ = Clock::now();
  return {};
}

Result<> Snapshot::link_body(QueueId id) {
  const std::string name = "/spool/" + id.text() + ".body";
  const int code = files_->link(state_directory_ + name, folder_ + name);
  // A quarantined message may have lost its body; the restored one is told of again.
  if (code < 0 && code != -ENOENT) return fail_errno("link " + state_directory_ + name, -code);
  return {};
}

bool Snapshot::is_read() const { return files_->is_locked(folder_ + "/queue.db"); }

bool Snapshot::abandoned(Clock::time_point now) const {
  return whole() && now - whole_since_ > pick_up_time_max && !is_read();
}

Result<> sweep_snapshot(const std::string& state_directory, SpoolFiles& files) {
  const std::string folder = folder_of(state_directory);
  if (auto done = remove_all_in(folder + "/spool", files); !done) return done;
  return remove_all_in(folder, files);
}

Result<StoppedSnapshot> snapshot_stopped_queue(const std::string& state_directory) {
  SpoolFiles files;
  if (auto swept = sweep_snapshot(state_directory, files); !swept)
    return std::unexpected(swept.error());
  if (files.size(state_directory + "/queue.db") == -ENOENT) return StoppedSnapshot{};
  StoppedSnapshot snapshot{folder_of(state_directory), {}};
  const auto make = [&]() -> Result<> {
    if (auto copied = copy_state(state_directory, snapshot.folder, files); !copied) return copied;
    auto store = QueueStore::open(snapshot.folder);
    if (!store) return std::unexpected(store.error());
    snapshot.log_damage = (*store)->open_report().log_damage.value_or("");
    store->reset();
    return remove_side_files(snapshot.folder, files);
  };
  if (auto made = make(); !made) {
    static_cast<void>(sweep_snapshot(state_directory, files));
    return std::unexpected(made.error());
  }
  return snapshot;
}

Result<PreparedQueue> prepare_restored_queue(const std::string& folder, bool hold) {
  if (const auto checked = check_database_file(folder + "/queue.db"); !checked)
    return std::unexpected(checked.error());
  SpoolFiles files;
  PreparedQueue prepared;
  auto store = QueueStore::open(folder);
  if (!store) return std::unexpected(store.error());
  prepared.damaged = (*store)->open_report().quarantined.size();
  const auto figures = (*store)->figures();
  if (!figures) return std::unexpected(figures.error());
  prepared.messages = figures->messages;
  if (hold) {
    if (auto held = hold_all(**store); !held) return std::unexpected(held.error());
  }
  store->reset();
  if (auto removed = remove_side_files(folder, files); !removed)
    return std::unexpected(removed.error());
  return prepared;
}

}  // namespace postern::storage
