// The queue held still; see the header.
#include "relay/backup/queue.hpp"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "relay/base/assert.hpp"
#include "storage/snapshot.hpp"
#include "storage/state_directory.hpp"

namespace postern::backup {

namespace {

// Root becomes the directory's owner while this lives: what is made there is then the relay's, so
// that the relay can sweep it when this command is killed, and no trick with links there gains
// anything.
class AsOwner {
 public:
  explicit AsOwner(const std::string& directory) {
    struct stat status{};
    if (::geteuid() != 0 || ::stat(directory.c_str(), &status) != 0 || status.st_uid == 0) return;
    changed_ = ::setegid(status.st_gid) == 0;
    failed_ = !changed_ || ::seteuid(status.st_uid) != 0;
  }
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;
  ~AsOwner() {
    if (!changed_) return;
    const bool back = ::seteuid(0) == 0 && ::setegid(0) == 0;
    POSTERN_ASSERT(back);
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool changed_ = false;
  bool failed_ = false;
};

}  // namespace

Result<FileDescriptor> lock_state(const std::string& state_directory) {
  return storage::lock_state_directory(state_directory);
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
  made->lock_ = std::move(*file);
  if (auto opened = made->open(folder); !opened) return std::unexpected(opened.error());
  return made;
}

QueueSnapshot::~QueueSnapshot() {
  if (state_directory_.empty()) return;
  storage::SpoolFiles files;
  static_cast<void>(storage::sweep_snapshot(state_directory_, files));
}

}  // namespace postern::backup
