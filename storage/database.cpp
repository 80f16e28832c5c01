// The connection and its statements; see database.hpp. Settings and schema are in
// database_schema.cpp.
#include "storage/database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "relay/base/assert.hpp"

namespace postern::storage {

namespace {

struct Verdict {
  ErrorKind kind;
  const char* advice;
};

Verdict judge(int code, int system_error) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {ErrorKind::no_space, "; make room on the file system that holds the state directory"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorKind::corrupt,
              "; the file is damaged or is no database: move it away for examination (mail in it "
              "is not delivered) and start again"};
    case SQLITE_READONLY:
      return {ErrorKind::denied,
              "; the medium or the file is read-only: mount it for writing, or give the file to "
              "the user the daemon runs as"};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorKind::denied, "; the daemon's user may not use the file"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorKind::busy,
              "; another program has the database open: end it, only the daemon may use this file"};
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      // Also for want of room: after a failed sync nobody knows what the medium holds, while
      // no_space promises that the transaction is not in the log.
      if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) return {ErrorKind::io, ""};
      if (system_error == EROFS || system_error == EACCES || system_error == EPERM) {
        return {ErrorKind::denied,
                "; the medium is read-only or the daemon's user may not write there"};
      }
      if (system_error == ENOSPC || system_error == EDQUOT) {
        return {ErrorKind::no_space,
                "; make room on the file system that holds the state directory"};
      }
      return {ErrorKind::io, ""};
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID) {
        return {ErrorKind::exists, ""};
      }
      return {ErrorKind::invalid, ""};
    case SQLITE_TOOBIG:
      return {ErrorKind::invalid, ""};
    default:
      return {ErrorKind::io, ""};
  }
}

}  // namespace

Query::Query(Database& database, const Sql& sql, sqlite3_stmt* statement)
    : database_(&database), sql_(sql), statement_(statement) {
  POSTERN_ASSERT(sqlite3_stmt_busy(statement) == 0);
}

Query::Query(Query&& other) noexcept
    : database_(other.database_),
      sql_(other.sql_),
      statement_(std::exchange(other.statement_, nullptr)),
      parameters_(other.parameters_),
      bind_code_(other.bind_code_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::note(int code) {
  if (bind_code_ == SQLITE_OK) bind_code_ = code;
}

Query& Query::integer(std::int64_t value) {
  note(sqlite3_bind_int64(statement_, ++parameters_, value));
  return *this;
}

Query& Query::text(std::string_view value) {
  // A null pointer would become SQL's NULL.
  const char* data = value.empty() ? "" : value.data();
  note(sqlite3_bind_text64(statement_, ++parameters_, data, value.size(), SQLITE_STATIC,
                           SQLITE_UTF8));
  return *this;
}

Query& Query::blob(ByteView value) {
  ++parameters_;
  note(value.empty() ? sqlite3_bind_zeroblob(statement_, parameters_, 0)
                     : sqlite3_bind_blob64(statement_, parameters_, value.data(), value.size(),
                                           SQLITE_STATIC));
  return *this;
}

Result<bool> Query::next() {
  if (bind_code_ != SQLITE_OK) return database_->failure(sql_, bind_code_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->failure(sql_, code);
}

Result<> Query::run() {
  const Result<bool> row = next();
  if (!row) return std::unexpected(row.error());
  return {};
}

std::int64_t Query::integer_at(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Query::text_at(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Bytes Query::blob_at(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  if (data == nullptr) return {};
  return {data, data + sqlite3_column_bytes(statement_, column)};
}

Database::~Database() {
  for (const auto& [text, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Result<Query> Database::query(const Sql& sql) {
  if (const auto found = statements_.find(sql.text); found != statements_.end()) {
    return Query(*this, sql, found->second);
  }
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(connection_, sql.text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return failure(sql, code);
  statements_.emplace(sql.text, statement);
  return Query(*this, sql, statement);
}

Result<> Database::run(const Sql& sql) {
  const int code = sqlite3_exec(connection_, sql.text, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(sql, code);
  return {};
}

bool Database::outside_transaction() const { return sqlite3_get_autocommit(connection_) != 0; }

std::int64_t Database::changed_rows() const { return sqlite3_changes(connection_); }

Result<> Database::checkpoint() {
  // PASSIVE does the whole work here: there is no other connection to wait for.
  const int code =
      sqlite3_wal_checkpoint_v2(connection_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK) return failure({"copy back the write-ahead log", nullptr}, code);
  log_pages_ = 0;
  return {};
}

void Database::leave_log_at_close() {
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

std::unexpected<Error> Database::failure(const Sql& sql, int code) const {
  const Verdict verdict = judge(code, sqlite3_system_errno(connection_));
  return fail(
      verdict.kind, fmt::format("{} in {}", sql.purpose, path_),
      fmt::format("{} (SQLite code {}){}", sqlite3_errmsg(connection_), code, verdict.advice));
}

}  // namespace postern::storage
