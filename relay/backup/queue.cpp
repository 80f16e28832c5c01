// The queue held still; see the header.
#include "relay/backup/queue.hpp"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "relay/base/assert.hpp"
#include "storage/snapshot.hpp"
#include "storage/spool_files.hpp"
#include "storage/state_directory.hpp"

namespace postern::backup {

AsOwner::AsOwner(const std::string& directory) {
  struct stat status{};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &status) != 0 || status.st_uid == 0) return;
  changed_ = ::setegid(status.st_gid) == 0;
  failed_ = !changed_ || ::seteuid(status.st_uid) != 0;
}

AsOwner::~AsOwner() {
  if (!changed_) return;
  const bool back = ::seteuid(0) == 0 && ::setegid(0) == 0;
  POSTERN_ASSERT(back);
}

Result<std::optional<std::uint64_t>> count_messages(const std::string& state_directory) {
  const AsOwner owner(state_directory);
  if (owner.failed()) return fail_errno("become the owner of " + state_directory, errno);
  const auto tree = Tree::open(state_directory);
  if (!tree || !tree->holds("queue.db")) return std::nullopt;
  if (const auto facts = tree->facts("queue.db"); !facts || !facts->regular)
    return fail(ErrorKind::invalid, "count " + state_directory, "its queue.db is no regular file");
  if (const auto log = tree->facts("queue.db-wal"); log && log->size > 0)
    return fail(ErrorKind::busy, "count " + state_directory, "its log was not copied back");
  const auto messages = storage::check_database_file(state_directory + "/queue.db");
  if (!messages) return std::unexpected(messages.error());
  return *messages;
}

Result<FileDescriptor> lock_state(const std::string& state_directory) {
  return storage::lock_state_directory(state_directory);
}

bool is_in_use(const std::string& state_directory) {
  return storage::SpoolFiles().is_locked(state_directory + "/lock");
}

Result<> QueueSnapshot::open(const std::string& folder) {
  auto tree = Tree::open(folder);
  if (!tree) return std::unexpected(tree.error());
  tree_ = std::make_unique<Tree>(std::move(*tree));
  const auto messages = storage::check_database_file(folder + "/queue.db");
  if (!messages) return std::unexpected(messages.error());
  messages_ = *messages;
  return {};
}

Result<std::unique_ptr<QueueSnapshot>> QueueSnapshot::of_stopped(
    const std::string& state_directory) {
  std::unique_ptr<QueueSnapshot> made(new QueueSnapshot);
  const AsOwner owner(state_directory);
  if (owner.failed()) return fail_errno("become the owner of " + state_directory, errno);
  auto lock = lock_state(state_directory);
  if (!lock) return std::unexpected(lock.error());
  made->lock_ = std::move(*lock);
  made->state_directory_ = state_directory;
  const auto snapshot = storage::snapshot_stopped_queue(state_directory);
  if (!snapshot) return std::unexpected(snapshot.error());
  made->log_damage_ = snapshot->log_damage;
  if (snapshot->folder.empty()) return made;
  if (auto opened = made->open(snapshot->folder); !opened) return std::unexpected(opened.error());
  return made;
}

// The lock tells the relay that somebody reads (storage/snapshot.hpp).
Result<std::unique_ptr<QueueSnapshot>> QueueSnapshot::of_running(const std::string& folder) {
  std::unique_ptr<QueueSnapshot> made(new QueueSnapshot);
  auto tree = Tree::open(folder);
  if (!tree) return std::unexpected(tree.error());
  auto file = tree->open_file("queue.db");
  if (!file) return std::unexpected(file.error());
  if (::flock(file->get(), LOCK_SH | LOCK_NB) != 0)
    return fail_errno("lock " + folder + "/queue.db", errno);
  struct stat status{};
  if (::fstat(file->get(), &status) != 0 || status.st_nlink == 0) {
    return fail(ErrorKind::busy, "lock " + folder + "/queue.db",
                "another backup was begun in the same moment");
  }
  made->lock_ = std::move(*file);
  if (auto opened = made->open(folder); !opened) return std::unexpected(opened.error());
  return made;
}

QueueSnapshot::~QueueSnapshot() {
  if (state_directory_.empty()) return;
  const AsOwner owner(state_directory_);
  if (owner.failed()) return;
  storage::SpoolFiles files;
  static_cast<void>(storage::sweep_snapshot(state_directory_, files));
}

}  // namespace postern::backup
