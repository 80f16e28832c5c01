// A copy of the database, made by the one connection itself while it goes on committing.
//
// Promise: when step() says that it is whole, the copy holds what was committed up to that call:
// what is committed between steps by the same connection is copied too (sqlite3_backup_step). A
// copy that was not finished is no database. Sharp edge: the copy is not synced; it is for reading
// back at once, and lives in a folder that every start sweeps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "relay/base/error.hpp"
#include "storage/database.hpp"

struct sqlite3_backup;

namespace postern::storage {

class DatabaseCopy {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DatabaseCopy>> begin(Database& from,
                                                                   const std::string& path,
                                                                   SpoolFiles& files);
  DatabaseCopy(const DatabaseCopy&) = delete;
  DatabaseCopy& operator=(const DatabaseCopy&) = delete;
  ~DatabaseCopy();

  // At most `pages` more; true: the copy is whole and closed.
  [[nodiscard]] Result<bool> step(int pages);

 private:
  DatabaseCopy() = default;
  void close();

  std::string path_;
  sqlite3* copy_ = nullptr;
  sqlite3_backup* backup_ = nullptr;
};

// Walks a database file that nobody else has open, and writes nothing: its structure, every index,
// the schema's version. The count of messages in it.
[[nodiscard]] Result<std::uint64_t> check_database_file(const std::string& path);

}  // namespace postern::storage
