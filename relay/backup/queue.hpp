// The queue of a relay, held still for a backup or a restore.
//
// Promise: while a StateLock lives no daemon starts; a QueueSnapshot is checked whole before it is
// handed out, and is gone (or given back to the running relay) when it dies.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "relay/backup/tree.hpp"
#include "relay/base/error.hpp"
#include "relay/base/file.hpp"

namespace postern::backup {

// busy: a relay runs there.
[[nodiscard]] Result<FileDescriptor> lock_state(const std::string& state_directory);

// Whether a relay runs there, as far as who asks may look; nothing is changed.
[[nodiscard]] bool is_in_use(const std::string& state_directory);

// Root becomes the directory's owner while this lives: what is made there is then the relay's, so
// that the relay can sweep it when this command is killed, and no trick with links there gains
// anything.
class AsOwner {
 public:
  explicit AsOwner(const std::string& directory);
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;
  ~AsOwner();
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool changed_ = false;
  bool failed_ = false;
};

// How many messages a queue holds that nobody has open; nothing where there is none. An error where
// that cannot be told: also when a kill left some of it in the log.
[[nodiscard]] Result<std::optional<std::uint64_t>> count_messages(
    const std::string& state_directory);

class QueueSnapshot {
 public:
  // Of a relay that does not run; the lock lives as long as the snapshot.
  [[nodiscard]] static Result<std::unique_ptr<QueueSnapshot>> of_stopped(
      const std::string& state_directory);
  // As the running relay made it.
  [[nodiscard]] static Result<std::unique_ptr<QueueSnapshot>> of_running(const std::string& folder);
  QueueSnapshot(const QueueSnapshot&) = delete;
  QueueSnapshot& operator=(const QueueSnapshot&) = delete;
  ~QueueSnapshot();

  [[nodiscard]] const Tree* tree() const { return tree_.get(); }  // null: there is no queue
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  [[nodiscard]] const std::string& log_damage() const { return log_damage_; }

 private:
  QueueSnapshot() = default;
  [[nodiscard]] Result<> open(const std::string& folder);
  std::string state_directory_;  // empty: the relay's own matter
  FileDescriptor lock_;
  std::unique_ptr<Tree> tree_;
  std::uint64_t messages_ = 0;
  std::string log_damage_;
};

}  // namespace postern::backup
