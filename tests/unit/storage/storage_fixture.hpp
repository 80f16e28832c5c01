// What the storage tests share: a state directory of their own, messages, and a disk that fails
// when told.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "storage/queue_store.hpp"
#include "storage/reserve.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

class StateDirectory {
 public:
  StateDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-storage-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;
  ~StateDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  [[nodiscard]] std::string path() const { return root_ + "/state"; }  // not made yet
  [[nodiscard]] std::string database() const { return path() + "/queue.db"; }
  [[nodiscard]] std::string spool() const { return path() + "/spool"; }
  [[nodiscard]] std::string reserve() const { return path() + "/reserve"; }
  [[nodiscard]] std::string body(QueueId id) const { return spool() + "/" + id.text() + ".body"; }

 private:
  std::string root_;
};

inline NewMessage make_message(std::uint64_t id, std::size_t body_octets = 100) {
  NewMessage message;
  message.id = QueueId{id};
  message.user_name = "scanner";
  message.sender = {"scan@office.example", "BODY=8BITMIME"};
  message.recipients = {
      {0, "anna@far.example", "NOTIFY=FAILURE", RecipientState::waiting, "", false},
      {1, "bert@far.example", "", RecipientState::waiting, "", false}};
  message.content.wrapped_key = Bytes(72, std::byte{1});
  message.content.sealed_header = Bytes(200, std::byte{2});
  message.content.sealed_body = Bytes(body_octets, std::byte{3});
  message.content.header_bytes = 160;
  message.content.body_bytes = body_octets;
  message.received = WallTime(Duration(1'800'000'000'000));
  message.next_attempt = WallTime(Duration(1'800'000'060'000));
  return message;
}

inline NewMessage make_spooled_message(std::uint64_t id, std::size_t body_octets) {
  NewMessage message = make_message(id, body_octets);
  message.content.sealed_body.clear();
  message.content.spooled = true;
  return message;
}

inline AttemptRecord make_record(std::uint64_t id, RecipientState first, RecipientState second) {
  AttemptRecord record;
  record.id = QueueId{id};
  record.recipients = {{0, first, "250 2.1.5 taken", false}, {1, second, "451 4.7.1 later", false}};
  record.next_attempt = WallTime(Duration(1'800'000'900'000));
  record.last_error = "far.example said 451 4.7.1 later";
  return record;
}

inline std::unique_ptr<QueueStore> open_or_abort(const StateDirectory& directory,
                                                 const char* vfs = nullptr,
                                                 SpoolFiles* files = nullptr) {
  auto store = QueueStore::open(directory.path(), vfs, files);
  if (!store) {
    ADD_FAILURE() << store.error().text();
    std::abort();
  }
  return std::move(*store);
}

// One insert in a transaction of its own.
inline Result<> commit_message(QueueStore& store, const NewMessage& message,
                               std::optional<std::uint64_t> token = std::nullopt) {
  if (auto begun = store.begin(); !begun) return begun;
  const Result<> inserted = store.insert(message, token);
  const Result<> committed = store.commit();
  return inserted ? committed : inserted;
}

// Spool files on the real disk until told to fail.
struct FailingFiles : SpoolFiles {
  bool sync_fails = false;
  bool sync_folder_fails = false;
  bool write_is_full = false;
  bool cannot_allocate = false;
  static constexpr std::uint64_t as_the_real_disk = ~std::uint64_t{0};
  std::atomic<std::uint64_t> free = as_the_real_disk;  // read by the storage thread
  int syncs = 0;
  std::uint64_t rewritten_bytes = 0;
  std::function<void()> when_unlinked = [] {};

  std::int64_t write(int fd, ByteView octets) override {
    return write_is_full ? -ENOSPC : SpoolFiles::write(fd, octets);
  }
  int sync(int fd) override {
    ++syncs;
    return sync_fails ? -EIO : SpoolFiles::sync(fd);
  }
  int sync_folder(const std::string& path) override {
    return sync_folder_fails ? -EIO : SpoolFiles::sync_folder(path);
  }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    const std::uint64_t told = free;
    return told == as_the_real_disk ? SpoolFiles::free_bytes(path) : told;
  }
  int allocate(int fd, std::uint64_t bytes) override {
    return cannot_allocate ? -EOPNOTSUPP : SpoolFiles::allocate(fd, bytes);
  }
  std::int64_t write_at(int fd, std::uint64_t offset, ByteView octets) override {
    rewritten_bytes += octets.size();
    return SpoolFiles::write_at(fd, offset, octets);
  }
  int unlink(const std::string& path) override {
    const int code = SpoolFiles::unlink(path);
    when_unlinked();
    return code;
  }
};

// An SQLite VFS on the real disk whose xSync counts and, when told, fails, and whose xWrite finds
// the disk full when told: each file of the real VFS gets a copy of its table of methods with those
// two exchanged.
class FailingVfs {
 public:
  FailingVfs() {
    failing() = false;
    full() = false;
    syncs() = 0;
    sqlite3_vfs* real = sqlite3_vfs_find(nullptr);
    shim_ = *real;
    shim_.zName = "sync-failing";
    shim_.xOpen = open;
    shim_.xGetLastError = last_error;
    shim_.pNext = nullptr;
    sqlite3_vfs_register(&shim_, 0);
  }
  FailingVfs(const FailingVfs&) = delete;
  FailingVfs& operator=(const FailingVfs&) = delete;
  ~FailingVfs() { sqlite3_vfs_unregister(&shim_); }
  [[nodiscard]] const char* name() const { return shim_.zName; }
  static bool& failing() {
    static bool value = false;
    return value;
  }
  static std::atomic<bool>& full() {
    static std::atomic<bool> value = false;
    return value;
  }
  static int& syncs() {
    static int value = 0;
    return value;
  }

 private:
  struct Methods {
    sqlite3_io_methods changed;  // first: a file's pMethods points here
    const sqlite3_io_methods* real = nullptr;
  };
  static int open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
    sqlite3_vfs* real = sqlite3_vfs_find(nullptr);
    const int code = real->xOpen(real, name, file, flags, out);
    if (code != SQLITE_OK || file->pMethods == nullptr) return code;
    static std::array<Methods, 8> tables;
    for (Methods& table : tables) {
      if (table.real == nullptr) {
        table = {*file->pMethods, file->pMethods};
        table.changed.xSync = sync;
        table.changed.xWrite = write;
      }
      if (table.real == file->pMethods) {
        file->pMethods = &table.changed;
        return SQLITE_OK;
      }
    }
    std::abort();
  }
  static int sync(sqlite3_file* file, int flags) {
    ++syncs();
    if (failing()) return SQLITE_IOERR_FSYNC;
    return real_of(file).xSync(file, flags);
  }
  static int write(sqlite3_file* file, const void* octets, int bytes, sqlite3_int64 offset) {
    if (full()) return SQLITE_FULL;
    return real_of(file).xWrite(file, octets, bytes, offset);
  }
  static const sqlite3_io_methods& real_of(sqlite3_file* file) {
    return *reinterpret_cast<const Methods*>(file->pMethods)->real;
  }
  // A full disk may also be found by a sync, where the file system allocates late.
  static int last_error(sqlite3_vfs*, int, char*) { return failing() ? ENOSPC : 0; }
  sqlite3_vfs shim_;
};

// Lends the store's own connection to a test: SQLite calls this for each connection it opens.
class ConnectionCatcher {
 public:
  ConnectionCatcher() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(caught)); }
  ConnectionCatcher(const ConnectionCatcher&) = delete;
  ConnectionCatcher& operator=(const ConnectionCatcher&) = delete;
  ~ConnectionCatcher() { sqlite3_reset_auto_extension(); }
  [[nodiscard]] static sqlite3*& connection() {
    static sqlite3* value = nullptr;
    return value;
  }
  [[nodiscard]] static std::string ask(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    std::string answer;
    if (sqlite3_prepare_v2(connection(), sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      return sqlite3_errmsg(connection());
    }
    if (sqlite3_step(statement) == SQLITE_ROW) {
      answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return answer;
  }

 private:
  static int caught(sqlite3* opened, const char**, const void*) {
    connection() = opened;
    return SQLITE_OK;
  }
};

// Statements on a database that no store has open.
inline void change_database(const std::string& path, const char* sql) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &connection), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(connection, sql, nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(connection);
  sqlite3_close(connection);
}

}  // namespace postern::storage
