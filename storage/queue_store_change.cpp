// Every change of the queue inside a transaction; see queue_store.hpp.
//
// Promise: each is done whole or not at all (a savepoint), and what it counts is undone with it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "relay/base/assert.hpp"
#include "storage/queue_store_parts.hpp"

namespace postern::storage {

namespace {

constexpr Sql savepoint_sql{"begin a request", "SAVEPOINT request"};
constexpr Sql release_sql{"end a request", "RELEASE request"};
constexpr Sql undo_sql{"undo a request", "ROLLBACK TO request; RELEASE request"};

// SELECT and not VALUES: SQLite then keeps a statement journal, and a full database undoes the
// statement. An INSERT of VALUES would take the whole transaction with it.
constexpr Sql insert_message_sql{
    "store a message",
    "INSERT INTO message (id, user_name, reverse_path, parameters, received_ms, next_attempt_ms, "
    "header_bytes, body_bytes) SELECT ?, ?, ?, ?, ?, ?, ?, ?"};
constexpr Sql stand_in_sql{
    "stand in for a lost message",
    "INSERT INTO message (id, user_name, reverse_path, parameters, received_ms, next_attempt_ms, "
    "header_bytes, body_bytes) SELECT ?, '(lost)', '', '', 0, 0, 0, 0"};
constexpr Sql set_spool_bytes_sql{"store a message's spool file",
                                  "UPDATE message SET spool_bytes = ? WHERE id = ?"};
constexpr Sql insert_content_sql{
    "store a message's content",
    "INSERT INTO content (message, wrapped_key, sealed_header, sealed_body) SELECT ?, ?, ?, ?"};
constexpr Sql insert_recipient_sql{
    "store a recipient",
    "INSERT INTO recipient (message, position, address, parameters, state, last_reply, "
    "delay_notified) SELECT ?, ?, ?, ?, ?, ?, ?"};
constexpr Sql record_message_sql{"record an attempt",
                                 "UPDATE message SET attempts = attempts + ?, next_attempt_ms = ?, "
                                 "waited_ms = max(waited_ms, ?), last_error = ? WHERE id = ?"};
constexpr Sql record_recipient_sql{"record a recipient's outcome",
                                   "UPDATE recipient SET state = ?, last_reply = ?, "
                                   "delay_notified = ? WHERE message = ? AND position = ?"};
// Who is neither relayed nor failed waits, damaged states included.
constexpr Sql count_waiting_sql{
    "count waiting recipients",
    "SELECT count(*) FROM recipient WHERE message = ? AND state NOT IN (85, 102)"};
constexpr Sql examine_sql{"look up a message",
                          "SELECT header_bytes + body_bytes, quarantined, spool_bytes IS NOT NULL "
                          "FROM message WHERE id = ?"};
constexpr Sql remove_sql{"remove a message", "DELETE FROM message WHERE id = ?"};
constexpr Sql hold_sql{"hold a message", "UPDATE message SET held = ? WHERE id = ?"};
constexpr Sql quarantine_sql{"quarantine a message",
                             "UPDATE message SET quarantined = 1, last_error = ? WHERE id = ?"};
constexpr Sql remove_counter_sql{"remove a counter", "DELETE FROM counter WHERE name = ?"};
constexpr Sql counter_sql{"save a counter",
                          "INSERT INTO counter (name, value) VALUES (?, ?) "
                          "ON CONFLICT (name) DO UPDATE SET value = excluded.value"};

constexpr std::uint64_t stored_bytes_max =
    static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 4;

std::unexpected<Error> no_such_message(const Sql& sql, QueueId id) {
  return fail(ErrorKind::not_found, sql.purpose,
              fmt::format("there is no message {} in the queue (any more)", id.text()));
}

Result<> check_new_message(const NewMessage& message, std::optional<std::uint64_t> token) {
  const std::string operation = "store message " + message.id.text();
  const StoredContent& content = message.content;
  if (message.recipients.empty()) {
    return fail(ErrorKind::invalid, operation, "it has no recipient, so it would never leave");
  }
  if (token && !content.sealed_body.empty()) {
    return fail(ErrorKind::invalid, operation, "its body is both in the row and in the spool");
  }
  if (content.sealed_body.size() > body_in_row_bytes_max) {
    return fail(ErrorKind::invalid, operation,
                fmt::format("a sealed body of {} octets belongs into the spool (a row takes {})",
                            content.sealed_body.size(), body_in_row_bytes_max));
  }
  if (content.header_bytes > stored_bytes_max || content.body_bytes > stored_bytes_max) {
    return fail(ErrorKind::invalid, operation, "its size is no size a message can have");
  }
  return {};
}

}  // namespace

template <class Work>
Result<> QueueStore::Parts::atomically(Work work) {
  POSTERN_ASSERT(in_transaction);
  if (auto living = alive(); !living) return living;
  if (lost) return std::unexpected(*lost);
  const Mark before = mark();
  Result<> done = database->run(savepoint_sql);
  if (done) done = work();
  if (done) done = database->run(release_sql);
  if (done) return done;
  undo_to(before);
  if (database->outside_transaction()) {
    lost = done.error();
  } else if (auto undone = database->run(undo_sql); !undone) {
    lost = undone.error();
  }
  return done;
}

Result<> QueueStore::insert(const NewMessage& message, std::optional<std::uint64_t> token) {
  Result<> done = parts_->atomically([&]() -> Result<> { return parts_->insert(message, token); });
  if (!done && token) parts_->spool->discard(*token);
  return done;
}

Result<> QueueStore::Parts::insert(const NewMessage& message, std::optional<std::uint64_t> token) {
  const StoredContent& content = message.content;
  if (auto room = require_room(content.sealed_body.size() + content.sealed_header.size()); !room) {
    return room;
  }
  return insert_rows(message, token);
}

// Rows first: the primary key refuses a second message of the same id before its file could take
// the place of the first one's.
Result<> QueueStore::Parts::insert_rows(const NewMessage& message,
                                        std::optional<std::uint64_t> token) {
  if (auto good = check_new_message(message, token); !good) return good;
  const std::int64_t id = stored_id(message.id);
  const StoredContent& content = message.content;
  for (const QueueId leaving : removed) {
    if (leaving == message.id) {
      return fail(ErrorKind::exists, insert_message_sql.purpose,
                  fmt::format("message {} is being removed in this very moment", leaving.text()));
    }
  }
  {
    auto query = database->query(insert_message_sql);
    if (!query) return std::unexpected(query.error());
    query->integer(id)
        .text(message.user_name)
        .text(message.sender.reverse_path)
        .text(message.sender.parameters)
        .integer(stored_time(message.received))
        .integer(stored_time(message.next_attempt))
        .integer(static_cast<std::int64_t>(content.header_bytes))
        .integer(static_cast<std::int64_t>(content.body_bytes));
    if (auto done = query->run(); !done) return done;
  }
  {
    auto query = database->query(insert_content_sql);
    if (!query) return std::unexpected(query.error());
    query->integer(id)
        .blob(content.wrapped_key)
        .blob(content.sealed_header)
        .blob(content.sealed_body);
    if (auto done = query->run(); !done) return done;
  }
  for (const StoredRecipient& recipient : message.recipients) {
    auto query = database->query(insert_recipient_sql);
    if (!query) return std::unexpected(query.error());
    query->integer(id)
        .integer(recipient.index)
        .text(recipient.address)
        .text(recipient.parameters)
        .integer(static_cast<std::int64_t>(recipient.state))
        .text(recipient.last_reply)
        .integer(recipient.delay_notified ? 1 : 0);
    if (auto done = query->run(); !done) return done;
  }
  ++tally.messages;
  tally.bytes += content.header_bytes + content.body_bytes;
  if (!token) return {};

  const auto spool_bytes = static_cast<std::int64_t>(spool->written_bytes(*token));
  if (auto done = change(set_spool_bytes_sql, spool_bytes, message.id); !done) return done;
  bool sync_failed = false;
  auto kept = spool->keep(*token, message.id, sync_failed);
  if (sync_failed) die(kept.error());
  if (kept) renamed.push_back(message.id);
  return kept;
}

Result<> QueueStore::record(const AttemptRecord& record) {
  return parts_->atomically([&]() -> Result<> { return parts_->record(record); });
}

Result<> QueueStore::Parts::record(const AttemptRecord& record) {
  const std::int64_t id = stored_id(record.id);
  {
    auto query = database->query(record_message_sql);
    if (!query) return std::unexpected(query.error());
    query->integer(record.counts_as_attempt ? 1 : 0)
        .integer(stored_time(record.next_attempt))
        .integer(record.waited.count())
        .text(record.last_error)
        .integer(id);
    if (auto done = query->run(); !done) return done;
    if (database->changed_rows() == 0) return no_such_message(record_message_sql, record.id);
  }
  for (const AttemptRecord::Recipient& recipient : record.recipients) {
    auto query = database->query(record_recipient_sql);
    if (!query) return std::unexpected(query.error());
    query->integer(static_cast<std::int64_t>(recipient.state))
        .text(recipient.last_reply)
        .integer(recipient.delay_notified ? 1 : 0)
        .integer(id)
        .integer(recipient.index);
    if (auto done = query->run(); !done) return done;
    if (database->changed_rows() == 0) {
      return fail(ErrorKind::not_found, record_recipient_sql.purpose,
                  fmt::format("message {} has no recipient {}", record.id.text(), recipient.index));
    }
  }
  // Reports need no room in reserve: they replace a promise that was already taken on.
  for (const NewMessage& letter : record.reports) {
    if (auto done = insert_rows(letter, std::nullopt); !done) return done;
  }
  std::int64_t waiting = 0;
  {
    auto query = database->query(count_waiting_sql);
    if (!query) return std::unexpected(query.error());
    const Result<bool> row = query->integer(id).next();
    if (!row) return std::unexpected(row.error());
    waiting = query->integer_at(0);
  }
  if (waiting == 0) return remove(record.id);
  return {};
}

Result<> QueueStore::remove(QueueId id) {
  return parts_->atomically([&]() -> Result<> { return parts_->remove(id); });
}

Result<> QueueStore::Parts::remove(QueueId id) {
  std::uint64_t bytes = 0;
  bool quarantined = false;
  bool spooled = false;
  {
    auto query = database->query(examine_sql);
    if (!query) return std::unexpected(query.error());
    const Result<bool> row = query->integer(stored_id(id)).next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return no_such_message(remove_sql, id);
    bytes = static_cast<std::uint64_t>(query->integer_at(0));
    quarantined = query->integer_at(1) != 0;
    spooled = query->integer_at(2) != 0;
  }
  auto query = database->query(remove_sql);
  if (!query) return std::unexpected(query.error());
  if (auto done = query->integer(stored_id(id)).run(); !done) return done;
  --tally.messages;
  tally.bytes -= bytes;
  if (quarantined) --tally.quarantined;
  if (spooled) removed.push_back(id);
  return {};
}

// An UPDATE of one value of one message.
Result<> QueueStore::Parts::change(const Sql& sql, std::int64_t value, QueueId id) {
  auto query = database->query(sql);
  if (!query) return std::unexpected(query.error());
  if (auto done = query->integer(value).integer(stored_id(id)).run(); !done) return done;
  if (database->changed_rows() == 0) return no_such_message(sql, id);
  return {};
}

Result<> QueueStore::set_held(QueueId id, bool held) {
  return parts_->atomically(
      [&] { return parts_->change(hold_sql, held ? held_stored : not_held_stored, id); });
}

Result<> QueueStore::set_quarantined(QueueId id, std::string_view reason) {
  return parts_->atomically([&] { return parts_->quarantine(id, reason); });
}

Result<> QueueStore::stand_in(QueueId id) {
  return parts_->atomically([&]() -> Result<> {
    auto query = parts_->database->query(stand_in_sql);
    if (!query) return std::unexpected(query.error());
    if (auto done = query->integer(stored_id(id)).run(); !done) return done;
    ++parts_->tally.messages;
    return {};
  });
}

Result<> QueueStore::Parts::quarantine(QueueId id, std::string_view reason) {
  bool already = false;
  {
    auto query = database->query(examine_sql);
    if (!query) return std::unexpected(query.error());
    const Result<bool> row = query->integer(stored_id(id)).next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return no_such_message(quarantine_sql, id);
    already = query->integer_at(1) != 0;
  }
  auto query = database->query(quarantine_sql);
  if (!query) return std::unexpected(query.error());
  if (auto done = query->text(reason).integer(stored_id(id)).run(); !done) return done;
  if (!already) ++tally.quarantined;
  return {};
}

Result<> QueueStore::save_counter(std::string_view name, std::string_view value) {
  return parts_->atomically([&]() -> Result<> {
    auto query = parts_->database->query(counter_sql);
    if (!query) return std::unexpected(query.error());
    return query->text(name).text(value).run();
  });
}

Result<> QueueStore::keep_counters(std::string_view prefix, const std::vector<std::string>& kept) {
  const auto all = counters();
  if (!all) return std::unexpected(all.error());
  return parts_->atomically([&]() -> Result<> {
    for (const auto& [name, value] : *all) {
      if (!name.starts_with(prefix) || std::ranges::find(kept, name) != kept.end()) continue;
      auto query = parts_->database->query(remove_counter_sql);
      if (!query) return std::unexpected(query.error());
      if (auto done = query->text(name).run(); !done) return done;
    }
    return {};
  });
}

}  // namespace postern::storage
