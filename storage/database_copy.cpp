// Copies of the database; see the header.
#include "storage/database_copy.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/file.hpp"
#include "relay/base/text.hpp"

namespace postern::storage {

namespace {

std::unexpected<Error> fail_copy(const std::string& path, sqlite3* connection, int code) {
  const ErrorKind kind = (code & 0xff) == SQLITE_FULL ? ErrorKind::no_space : ErrorKind::io;
  return fail(kind, "copy the queue to " + path,
              fmt::format("{} (SQLite code {})", sqlite3_errstr(code),
                          connection == nullptr ? code : sqlite3_extended_errcode(connection)));
}

// An URI, because only there SQLite can be told that nobody changes the file; then it takes no lock
// and makes no log beside it.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (is_letter(c) || is_digit(c) || c == '/' || c == '.' || c == '-' || c == '_') {
      uri += c;
    } else {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return uri + "?immutable=1";
}

struct Connection {
  sqlite3* get = nullptr;
  ~Connection() { sqlite3_close(get); }
};

// The first column of the first row.
Result<std::string> ask(const Connection& database, const std::string& path, const char* question) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(database.get, question, -1, &statement, nullptr);
  std::string found;
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    if (text != nullptr) found = text;
  }
  sqlite3_finalize(statement);
  if (code == SQLITE_ROW) return found;
  return fail(ErrorKind::corrupt, "check the queue in " + path,
              fmt::format("{} (SQLite code {})", sqlite3_errmsg(database.get), code));
}

}  // namespace

Result<std::unique_ptr<DatabaseCopy>> DatabaseCopy::begin(Database& from, const std::string& path,
                                                          SpoolFiles& files) {
  std::unique_ptr<DatabaseCopy> copy(new DatabaseCopy);
  copy->path_ = path;
  const int fd = files.create(path);  // of mode 0600, which SQLite keeps
  const FileDescriptor made(fd);
  if (!made) return fail_errno("make " + path, -fd);
  constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                        SQLITE_OPEN_EXRESCODE;
  int code = sqlite3_open_v2(path.c_str(), &copy->copy_, flags, nullptr);
  if (code == SQLITE_OK) {
    // A copy that breaks off is thrown away, so it needs neither a journal nor syncs.
    code = sqlite3_exec(copy->copy_,
                        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA "
                        "synchronous = OFF",
                        nullptr, nullptr, nullptr);
  }
  if (code != SQLITE_OK) return fail_copy(path, copy->copy_, code);
  copy->backup_ = sqlite3_backup_init(copy->copy_, "main", from.connection_, "main");
  if (copy->backup_ == nullptr)
    return fail_copy(path, copy->copy_, sqlite3_extended_errcode(copy->copy_));
  return copy;
}

DatabaseCopy::~DatabaseCopy() { close(); }

void DatabaseCopy::close() {
  if (backup_ != nullptr) sqlite3_backup_finish(std::exchange(backup_, nullptr));
  if (copy_ != nullptr) sqlite3_close(std::exchange(copy_, nullptr));
}

Result<bool> DatabaseCopy::step(int pages) {
  POSTERN_ASSERT(backup_ != nullptr);
  int code = sqlite3_backup_step(backup_, pages);
  if (code == SQLITE_OK) return false;
  if (code == SQLITE_DONE) code = sqlite3_backup_finish(std::exchange(backup_, nullptr));
  if (code != SQLITE_OK) return fail_copy(path_, nullptr, code);
  if (code = sqlite3_close(std::exchange(copy_, nullptr)); code != SQLITE_OK)
    return fail_copy(path_, nullptr, code);
  return true;
}

Result<std::uint64_t> check_database_file(const std::string& path) {
  Connection database;
  constexpr int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                        SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  const std::string operation = "check the queue in " + path;
  if (const int code = sqlite3_open_v2(immutable_uri(path).c_str(), &database.get, flags, nullptr);
      code != SQLITE_OK) {
    return fail(ErrorKind::corrupt, operation, sqlite3_errstr(code));
  }
  sqlite3_limit(database.get, SQLITE_LIMIT_LENGTH, value_bytes_max);
  sqlite3_db_config(database.get, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database.get, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  const auto version = ask(database, path, "PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  const auto oldest = ask(database, path, "PRAGMA application_id");
  if (!oldest) return std::unexpected(oldest.error());
  const auto number = parse_decimal<std::int64_t>(*version);
  // As a start opens it (database_schema.cpp): a newer schema where it says that this one may.
  const std::int64_t reader = parse_decimal<std::int64_t>(*oldest).value_or(0);
  const bool permitted = reader > 0 && reader <= schema_version;
  if (!number || *number < schema_version_min || (*number > schema_version && !permitted)) {
    return fail(ErrorKind::unsupported, operation,
                fmt::format("its schema is {}; this Postern knows {} to {}", *version,
                            schema_version_min, schema_version));
  }
  const auto verdict = ask(database, path, "PRAGMA integrity_check(1)");
  if (!verdict) return std::unexpected(verdict.error());
  if (*verdict != "ok") return fail(ErrorKind::corrupt, operation, *verdict);
  const auto count = ask(database, path, "SELECT count(*) FROM message");
  if (!count) return std::unexpected(count.error());
  return parse_decimal<std::uint64_t>(*count).value_or(0);
}

}  // namespace postern::storage
