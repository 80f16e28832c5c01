// How the connection is opened and set, and the tables with their migrations; see database.hpp.
//
// A migration is one script: the first makes the tables of schema_version_min, each other leads to
// the next version. Scripts that were ever released are never edited: a change is a new script at
// the end.
//
// A box goes back to the version before when an update fails its trial, so that one must open what
// the newer one migrated. Each migration says which is the oldest schema whose program may still
// read and write the result; that number stands in the file (as SQLite's application_id), and a
// program opens a newer schema when the number permits. What an old program must not meet takes two
// releases: the first adds it (with defaults) and gets along without, the second relies on it.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "relay/base/file.hpp"
#include "storage/database.hpp"
#include "storage/log_check.hpp"

namespace postern::storage {

namespace {

// Content has a table of its own: each attempt rewrites the message's row, and SQLite would rewrite
// a body of 256 KiB with it. Ids are stored so that they sort as unsigned numbers
// (queue_store_parts.hpp).
struct Migration {
  std::int64_t oldest_schema;  // its program may still read and write the result
  const char* script;
};

constexpr std::array<Migration, schema_version - schema_version_min + 1> migrations = {{{3, R"sql(
CREATE TABLE message (
  id            INTEGER PRIMARY KEY,
  user_name     TEXT    NOT NULL,
  reverse_path  TEXT    NOT NULL,
  parameters    TEXT    NOT NULL,
  received_ms   INTEGER NOT NULL,
  next_attempt_ms INTEGER NOT NULL,
  waited_ms     INTEGER NOT NULL DEFAULT 0 CHECK (waited_ms >= 0),
  attempts      INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  held          INTEGER NOT NULL DEFAULT 51 CHECK (held IN (51, 85)),  -- 85: held; four bits apart
  quarantined   INTEGER NOT NULL DEFAULT 0 CHECK (quarantined IN (0, 1)),
  last_error    TEXT    NOT NULL DEFAULT '',
  header_bytes  INTEGER NOT NULL CHECK (header_bytes >= 0),
  body_bytes    INTEGER NOT NULL CHECK (body_bytes >= 0),
  spool_bytes   INTEGER CHECK (spool_bytes >= 0)  -- length of the spool file; NULL: the body is in content
) STRICT;
CREATE TABLE content (
  message       INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  wrapped_key   BLOB NOT NULL,
  sealed_header BLOB NOT NULL,
  sealed_body   BLOB NOT NULL
) STRICT;
CREATE TABLE recipient (
  message        INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
  position       INTEGER NOT NULL,
  address        TEXT    NOT NULL,
  parameters     TEXT    NOT NULL,
  state          INTEGER NOT NULL CHECK (state IN (51, 85, 102)),  -- RecipientState
  last_reply     TEXT    NOT NULL,
  delay_notified INTEGER NOT NULL CHECK (delay_notified IN (0, 1)),
  PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)sql"}}};
static_assert(migrations.back().oldest_schema <= schema_version_before,
              "the release before must open this schema: make the change in two releases");
static_assert(std::ranges::is_sorted(migrations, {}, &Migration::oldest_schema),
              "what a migration closed to old programs a later one does not open again");

// The log is read and written in pieces of this size.
constexpr std::size_t piece_bytes = std::size_t{64} * 1024;

constexpr Sql read_version{"read the schema's version", "PRAGMA user_version"};
constexpr Sql read_oldest{"read the schema's oldest reader", "PRAGMA application_id"};
constexpr Sql count_tables{"read the schema", "SELECT count(*) FROM sqlite_schema"};

int note_log_pages(void* pages, sqlite3*, const char*, int log_pages) {
  *static_cast<int*>(pages) = log_pages;
  return SQLITE_OK;
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const char* vfs,
                                                 SpoolFiles& files) {
  std::unique_ptr<Database> database(new Database(path));
  if (auto done = database->create_file(files); !done) return std::unexpected(done.error());
  if (auto done = database->renew_log(files); !done) return std::unexpected(done.error());
  if (auto done = database->connect(vfs); !done) return std::unexpected(done.error());
  if (auto done = database->check_schema(); !done) return std::unexpected(done.error());
  if (auto done = database->configure(); !done) return std::unexpected(done.error());
  if (auto done = database->migrate(); !done) return std::unexpected(done.error());
  return database;
}

// SQLite would make the file readable for everybody; its log takes the mode of the database.
Result<> Database::create_file(SpoolFiles& files) const {
  const int code = files.make_file(path_);
  if (code >= 0) return {};
  if (code == -EINVAL) {
    return fail(ErrorKind::corrupt, "open " + path_, "it is no regular file; move it away");
  }
  return fail_errno("open " + path_, -code);
}

// What a daemon that was killed, or that stopped at a failed sync, left in the log is perhaps only
// in the kernel's cache, and after a failed sync it is there marked as written, so that no later
// sync writes it. Recovery would take it for durable, put acknowledged mail behind it, and a power
// cut would break the log's chain before that mail. So every octet is written again, in place (a
// full disk does not hinder it, and a tear meets the same octets), and synced before it is trusted.
// What stands behind the last whole commit is wiped meanwhile, so that the next start can tell what
// a power cut broke from what the medium damaged (log_check.hpp).
Result<> Database::renew_log(SpoolFiles& files) {
  const std::string log = path_ + "-wal";
  const int fd = files.open_for_rewriting(log);
  if (fd == -ENOENT) return {};
  const FileDescriptor file(fd);
  if (!file) return fail_errno("open " + log, -fd);
  const Result<LogState> state = check_log(files, file.get(), log);
  if (!state) return std::unexpected(state.error());
  if (state->damaged()) {
    if (auto kept = keep_damaged_log(files, file.get()); !kept) return kept;
    log_damage_ = fmt::format(
        "{} is damaged behind octet {}: {} commits in it cannot be used, so mail taken before the "
        "stop may be missing; check the medium; the log as it was is kept as {}.damaged",
        log, state->committed_bytes, state->commits_lost, log);
  }
  Bytes piece(piece_bytes);
  for (std::uint64_t offset = 0;;) {
    const std::int64_t got = files.read_at(file.get(), offset, piece);
    if (got < 0) return fail_errno("read " + log, static_cast<int>(-got));
    if (got == 0) break;
    const std::uint64_t whole = state->committed_bytes - std::min(state->committed_bytes, offset);
    if (whole < static_cast<std::uint64_t>(got)) {
      std::fill(piece.begin() + static_cast<std::ptrdiff_t>(whole), piece.begin() + got,
                std::byte{0});
    }
    ByteView rest(piece.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const std::int64_t written = files.write_at(file.get(), offset, rest);
      if (written <= 0) {
        return fail_errno("write " + log, written == 0 ? EIO : static_cast<int>(-written));
      }
      rest = rest.subspan(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
  }
  if (const int code = files.sync(file.get()); code < 0) return fail_errno("sync " + log, -code);
  return {};
}

Result<> Database::keep_damaged_log(SpoolFiles& files, int log) const {
  const std::string copy = path_ + "-wal.damaged";
  static_cast<void>(files.unlink(copy));  // of an earlier start
  const int fd = files.create(copy);
  const FileDescriptor file(fd);
  if (!file) return fail_errno("create " + copy, -fd);
  Bytes piece(piece_bytes);
  for (std::uint64_t offset = 0;;) {
    const std::int64_t got = files.read_at(log, offset, piece);
    if (got < 0) return fail_errno("read " + path_ + "-wal", static_cast<int>(-got));
    if (got == 0) break;
    offset += static_cast<std::uint64_t>(got);
    ByteView rest(piece.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const std::int64_t written = files.write(file.get(), rest);
      if (written <= 0) {
        return fail_errno("write " + copy, written == 0 ? EIO : static_cast<int>(-written));
      }
      rest = rest.subspan(static_cast<std::size_t>(written));
    }
  }
  if (const int code = files.sync(file.get()); code < 0) return fail_errno("sync " + copy, -code);
  return {};
}

Result<> Database::connect(const char* vfs) {
  constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                        SQLITE_OPEN_EXRESCODE;
  const Sql opening{"open the queue", nullptr};
  if (const int code = sqlite3_open_v2(path_.c_str(), &connection_, flags, vfs);
      code != SQLITE_OK) {
    return failure(opening, code);
  }
  // Another connection is a mistake, never something to wait for.
  sqlite3_busy_timeout(connection_, 0);
  sqlite3_limit(connection_, SQLITE_LIMIT_LENGTH, value_bytes_max);
  sqlite3_limit(connection_, SQLITE_LIMIT_ATTACHED, 0);
  for (const auto& [option, wanted] :
       {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1}, std::pair{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        std::pair{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, std::pair{SQLITE_DBCONFIG_ENABLE_VIEW, 0}}) {
    int now = -1;
    const int code = sqlite3_db_config(connection_, option, wanted, &now);
    if (code != SQLITE_OK || now != wanted) {
      return fail(ErrorKind::unsupported, "open the queue in " + path_,
                  fmt::format("this SQLite ({}) does not take safety option {}; install a build "
                              "with its defaults",
                              sqlite3_libversion(), option));
    }
  }
  return {};
}

// Before anything is written: a stranger's file stays as it is.
Result<> Database::check_schema() {
  const Result<std::int64_t> version = single_integer(read_version);
  if (!version) return std::unexpected(version.error());
  const Result<std::int64_t> oldest = single_integer(read_oldest);
  if (!oldest) return std::unexpected(oldest.error());
  // Written before files told it, or by a migration that told nothing: by its own version only.
  const bool permitted = *oldest > 0 && *oldest <= schema_version;
  if (*version < 0 || (*version > schema_version && !permitted)) {
    return fail(ErrorKind::unsupported, "open the queue in " + path_,
                fmt::format("it was written by a newer Postern (schema {}, this one knows {}); "
                            "install the newer version again",
                            *version, schema_version));
  }
  if (*version > 0 && *version < schema_version_min) {
    return fail(ErrorKind::unsupported, "open the queue in " + path_,
                fmt::format("it was written by an older Postern (schema {}, this one reads {} and "
                            "newer); let the older version deliver what waits, then move the file "
                            "away and start again",
                            *version, schema_version_min));
  }
  if (*version > 0) return {};
  const Result<std::int64_t> tables = single_integer(count_tables);
  if (!tables) return std::unexpected(tables.error());
  if (*tables != 0) {
    return fail(ErrorKind::corrupt, "open the queue in " + path_,
                "it is a database of another program; move it away or choose another state "
                "directory");
  }
  return {};
}

Result<> Database::configure() {
  struct Setting {
    const char* name;
    const char* value;
    std::string expected;
  };
  // Our own checkpoints (QueueStore::maintain) in place of SQLite's: it ignores their failures.
  // No cache spilling: a batch is bounded, and a full disk must not be met in the middle of one.
  const std::string log_bytes = std::to_string(log_bytes_kept_max);
  const std::array settings = {
      Setting{"locking_mode", "EXCLUSIVE", "exclusive"},
      Setting{"journal_mode", "WAL", "wal"},
      Setting{"synchronous", "FULL", "2"},
      Setting{"foreign_keys", "ON", "1"},
      // FAST overwrites what is deleted inside pages that are written anyway: the wrapped key,
      // which stands first in its row. Sealed octets on pages of their own stay until the pages are
      // used again; writing zeros over them doubled what goes to the flash.
      Setting{"secure_delete", "FAST", "2"},
      Setting{"trusted_schema", "OFF", "0"},
      Setting{"cell_size_check", "ON", "1"},
      Setting{"mmap_size", "0", "0"},
      Setting{"temp_store", "MEMORY", "2"},
      Setting{"cache_spill", "OFF", "0"},
      Setting{"wal_autocheckpoint", "0", "0"},
      Setting{"journal_size_limit", log_bytes.c_str(), log_bytes},
  };
  for (const Setting& setting : settings) {
    auto done = set_pragma(setting.name, setting.value, setting.expected);
    if (!done) return done;
  }
  sqlite3_wal_hook(connection_, note_log_pages, &log_pages_);
  return {};
}

Result<> Database::set_pragma(const char* name, const char* value, std::string_view expected) {
  const std::string set = fmt::format("PRAGMA {} = {}", name, value);
  if (auto done = run({"set the safety options", set.c_str()}); !done) return done;
  const std::string get = fmt::format("PRAGMA {}", name);
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(connection_, get.c_str(), -1, &statement, nullptr);
  std::string found = "nothing";
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    if (text != nullptr) found = text;
  }
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    return failure({"read back the safety options", nullptr}, code);
  }
  if (found != expected) {
    return fail(ErrorKind::unsupported, "open the queue in " + path_,
                fmt::format("setting {} was to be {} and is {}; the file system or this build of "
                            "SQLite ({}) cannot keep mail safe",
                            name, expected, found, sqlite3_libversion()));
  }
  return {};
}

Result<> Database::migrate() {
  const Result<std::int64_t> found = single_integer(read_version);
  if (!found) return std::unexpected(found.error());
  for (std::int64_t version = std::max(*found, schema_version_min - 1); version < schema_version;
       ++version) {
    const auto& [oldest, text] =
        migrations[static_cast<std::size_t>(version - (schema_version_min - 1))];
    // Script and versions in one transaction: a power cut leaves the one or the other, whole.
    const std::string script = fmt::format(
        "BEGIN IMMEDIATE; {} PRAGMA user_version = {}; PRAGMA application_id = {}; COMMIT;", text,
        version + 1, oldest);
    auto done = run({"bring the tables up to date", script.c_str()});
    if (!done) return done;
  }
  return {};
}

Result<std::int64_t> Database::single_integer(const Sql& sql) {
  Result<Query> query = this->query(sql);
  if (!query) return std::unexpected(query.error());
  const Result<bool> row = query->next();
  if (!row) return std::unexpected(row.error());
  return *row ? query->integer_at(0) : 0;
}

}  // namespace postern::storage
