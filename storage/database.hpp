// The one SQLite connection: opening it as safely as SQLite can be opened, statements, and its
// errors.
//
// Promise: every setting that durability or safety rests on is read back at open, and a file that
// is no database of ours, or one of a newer Postern that does not permit it, is refused before
// anything is written to it.
// Every SQLite code becomes an Error that says what was tried, on which file, and what to do. Sharp
// edge: one connection, one thread, no busy waiting. A Query borrows a cached statement and resets
// it when it dies; a nested use of the same statement is a programmer's error. Bound text and blobs
// are not copied, so they must outlive the Query.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"
#include "storage/spool_files.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace postern::storage {

// The write-ahead log is copied back when it holds this many pages of 4 KiB: 8 MiB, which the
// reserve of queue_store.hpp counts with.
inline constexpr int checkpoint_pages_min = 2'000;
// A log that once grew longer is cut to this when it starts anew.
inline constexpr std::int64_t log_bytes_kept_max = std::int64_t{8} * 1024 * 1024;
// No value we write is longer (a sealed header is the longest); a damaged file cannot make us
// allocate more.
inline constexpr int value_bytes_max = 8 * 1024 * 1024;
// The schema this program writes; see database_schema.cpp.
inline constexpr std::int64_t schema_version = 3;
// That of the release before, which a failed update leads back to: it must open what this one
// writes. There was no release before.
inline constexpr std::int64_t schema_version_before = 3;
// The oldest that it can bring up to date. In schema 1 envelopes were not bound to the keys, in
// schema 2 states were one flipped bit apart; neither was released.
inline constexpr std::int64_t schema_version_min = 3;

// A statement and what it is for, in words that fit before "in <file>" in an Error.
struct Sql {
  const char* purpose;
  const char* text;
};

class Database;

class Query {
 public:
  Query(Database& database, const Sql& sql, sqlite3_stmt* statement);
  Query(Query&& other) noexcept;
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  Query& operator=(Query&&) = delete;
  ~Query();

  // Parameters, in order.
  Query& integer(std::int64_t value);
  Query& text(std::string_view value);
  Query& blob(ByteView value);

  [[nodiscard]] Result<bool> next();  // true: a row is there
  [[nodiscard]] Result<> run();       // for statements that give no row

  [[nodiscard]] std::int64_t integer_at(int column) const;
  [[nodiscard]] std::string text_at(int column) const;
  [[nodiscard]] Bytes blob_at(int column) const;

 private:
  void note(int code);

  Database* database_;
  Sql sql_;
  sqlite3_stmt* statement_;
  int parameters_ = 0;
  int bind_code_ = 0;
};

class Database {
 public:
  // Opens or creates; `vfs` names a registered SQLite VFS (tests), nullptr is the system's.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                              const char* vfs, SpoolFiles& files);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // `sql` must be a constant: its text's address is the key of the cache.
  [[nodiscard]] Result<Query> query(const Sql& sql);
  // One statement or several, without parameters.
  [[nodiscard]] Result<> run(const Sql& sql);

  // True when no transaction is open: also after SQLite itself rolled one back.
  [[nodiscard]] bool outside_transaction() const;
  [[nodiscard]] std::int64_t changed_rows() const;

  // What was found in the log at open, when the medium damaged it; see log_check.hpp.
  [[nodiscard]] const std::optional<std::string>& log_damage() const { return log_damage_; }

  [[nodiscard]] bool checkpoint_due() const { return log_pages_ >= checkpoint_pages_min; }
  [[nodiscard]] Result<> checkpoint();
  // After a failed sync: closing must not copy pages that the kernel may have dropped.
  void leave_log_at_close();

  [[nodiscard]] std::unexpected<Error> failure(const Sql& sql, int code) const;

 private:
  friend class DatabaseCopy;  // which SQLite lets only this connection make
  explicit Database(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Result<> connect(const char* vfs);
  [[nodiscard]] Result<> configure();
  [[nodiscard]] Result<> set_pragma(const char* name, const char* value, std::string_view expected);
  [[nodiscard]] Result<> check_schema();
  [[nodiscard]] Result<> migrate();
  [[nodiscard]] Result<std::int64_t> single_integer(const Sql& sql);
  [[nodiscard]] Result<> create_file(SpoolFiles& files) const;
  [[nodiscard]] Result<> renew_log(SpoolFiles& files);
  [[nodiscard]] Result<> keep_damaged_log(SpoolFiles& files, int log) const;

  std::string path_;
  std::optional<std::string> log_damage_;
  sqlite3* connection_ = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  int log_pages_ = 0;  // written by SQLite's hook at each commit
};

}  // namespace postern::storage
