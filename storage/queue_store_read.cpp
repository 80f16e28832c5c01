// Reading the queue store; see queue_store.hpp. Every value read from the disk is checked before it
// becomes one of our types.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "storage/queue_store_parts.hpp"

namespace postern::storage {

namespace {

constexpr Sql summaries_sql{
    "list the queue",
    "SELECT id, received_ms, next_attempt_ms, attempts, held, quarantined, "
    "header_bytes + body_bytes, waited_ms, user_name, reverse_path, "
    "coalesce((SELECT address FROM recipient WHERE message = id AND state = 51 ORDER BY position "
    "LIMIT 1), '') FROM message WHERE id > ? ORDER BY id LIMIT ?"};
// The first ten columns as above.
constexpr Sql load_message_sql{
    "load a message",
    "SELECT id, received_ms, next_attempt_ms, attempts, held, quarantined, "
    "header_bytes + body_bytes, waited_ms, user_name, reverse_path, parameters, last_error, "
    "header_bytes, body_bytes, spool_bytes IS NOT NULL, wrapped_key, sealed_header "
    "FROM message LEFT JOIN content ON content.message = message.id WHERE id = ?"};
constexpr Sql load_recipients_sql{
    "load a message's recipients",
    "SELECT position, address, parameters, state, last_reply, delay_notified FROM recipient "
    "WHERE message = ? ORDER BY position"};
constexpr Sql where_sql{"find a message's body",
                        "SELECT spool_bytes IS NOT NULL FROM message WHERE id = ?"};
// substr() counts from 1.
constexpr Sql read_body_sql{"read a message's body",
                            "SELECT substr(sealed_body, ? + 1, ?) FROM content WHERE message = ?"};
constexpr Sql counters_sql{"load the counters", "SELECT name, value FROM counter ORDER BY name"};
constexpr Sql tally_sql{"count the queue",
                        "SELECT count(*), coalesce(sum(header_bytes + body_bytes), 0), "
                        "coalesce(sum(quarantined), 0) FROM message"};
constexpr Sql without_row_sql{
    "look for recipients without a message",
    "SELECT DISTINCT message FROM recipient WHERE message NOT IN (SELECT id FROM message)"};
constexpr Sql spooled_sql{
    "check the spool",
    "SELECT id, spool_bytes FROM message WHERE spool_bytes IS NOT NULL AND NOT quarantined"};

MessageSummary read_summary(const Query& row) {
  MessageSummary summary;
  summary.id = queue_id(row.integer_at(0));
  summary.received = wall_time(row.integer_at(1));
  summary.next_attempt = wall_time(row.integer_at(2));
  constexpr std::int64_t attempts_max = std::numeric_limits<std::uint32_t>::max();
  summary.attempts =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(row.integer_at(3), 0, attempts_max));
  summary.held = row.integer_at(4) == held_stored;  // damaged: better sent than held for ever
  summary.quarantined = row.integer_at(5) != 0;
  summary.bytes = static_cast<std::uint64_t>(row.integer_at(6));
  summary.waited = Duration(row.integer_at(7));
  summary.user_name = row.text_at(8);
  summary.reverse_path = row.text_at(9);
  return summary;
}

std::unexpected<Error> no_such_message(const Sql& sql, QueueId id) {
  return fail(ErrorKind::not_found, sql.purpose,
              fmt::format("there is no message {} in the queue (any more)", id.text()));
}

bool is_recipient_state(std::int64_t stored) {
  using enum RecipientState;
  return std::ranges::any_of(std::array{waiting, relayed, failed}, [stored](RecipientState state) {
    return static_cast<std::int64_t>(state) == stored;
  });
}

Result<std::vector<StoredRecipient>> load_recipients(Database& database, QueueId id) {
  auto query = database.query(load_recipients_sql);
  if (!query) return std::unexpected(query.error());
  query->integer(stored_id(id));
  std::vector<StoredRecipient> recipients;
  while (true) {
    const Result<bool> row = query->next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return recipients;
    const std::int64_t state = query->integer_at(3);
    if (!is_recipient_state(state)) {
      return fail(ErrorKind::corrupt, load_recipients_sql.purpose,
                  fmt::format("a recipient of message {} is in state {}, which does not exist",
                              id.text(), state));
    }
    recipients.push_back({query->integer_at(0), query->text_at(1), query->text_at(2),
                          static_cast<RecipientState>(state), query->text_at(4),
                          query->integer_at(5) != 0});
  }
}

}  // namespace

MessageSummary summary_of(const NewMessage& message) {
  return {.id = message.id,
          .received = message.received,
          .next_attempt = message.next_attempt,
          .bytes = message.content.header_bytes + message.content.body_bytes,
          .user_name = message.user_name,
          .reverse_path = message.sender.reverse_path,
          .first_recipient = message.recipients.empty() ? "" : message.recipients.front().address};
}

Result<std::vector<MessageSummary>> QueueStore::summaries(std::size_t messages_max, QueueId after) {
  if (auto living = parts_->alive(); !living) return std::unexpected(living.error());
  auto query = parts_->database->query(summaries_sql);
  if (!query) return std::unexpected(query.error());
  constexpr std::size_t limit_max = std::numeric_limits<std::int32_t>::max();
  query->integer(stored_id(after))
      .integer(static_cast<std::int64_t>(std::min(messages_max, limit_max)));
  std::vector<MessageSummary> summaries;
  while (true) {
    const Result<bool> row = query->next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return summaries;
    summaries.push_back(read_summary(*query));
    summaries.back().first_recipient = query->text_at(10);
  }
}

Result<StoredMessage> QueueStore::load(QueueId id) {
  if (auto living = parts_->alive(); !living) return std::unexpected(living.error());
  auto query = parts_->database->query(load_message_sql);
  if (!query) return std::unexpected(query.error());
  const Result<bool> row = query->integer(stored_id(id)).next();
  if (!row) return std::unexpected(row.error());
  if (!*row) return no_such_message(load_message_sql, id);

  StoredMessage message;
  message.summary = read_summary(*query);
  message.sender = {message.summary.reverse_path, query->text_at(10)};
  message.last_error = query->text_at(11);
  message.content.header_bytes = static_cast<std::uint64_t>(query->integer_at(12));
  message.content.body_bytes = static_cast<std::uint64_t>(query->integer_at(13));
  message.content.spooled = query->integer_at(14) != 0;
  message.content.wrapped_key = query->blob_at(15);
  message.content.sealed_header = query->blob_at(16);
  if (message.content.wrapped_key.empty()) {  // of every message it has an octet at least
    return fail(ErrorKind::corrupt, load_message_sql.purpose,
                fmt::format("the content of message {} is gone", id.text()));
  }

  Result<std::vector<StoredRecipient>> recipients = load_recipients(*parts_->database, id);
  if (!recipients) return std::unexpected(recipients.error());
  message.recipients = std::move(*recipients);
  return message;
}

Result<Bytes> QueueStore::read_body(QueueId id, std::uint64_t offset, std::size_t bytes_max) {
  if (auto living = parts_->alive(); !living) return std::unexpected(living.error());
  const Result<bool> spooled = [&]() -> Result<bool> {
    auto query = parts_->database->query(where_sql);
    if (!query) return std::unexpected(query.error());
    const Result<bool> row = query->integer(stored_id(id)).next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return no_such_message(where_sql, id);
    return query->integer_at(0) != 0;
  }();
  if (!spooled) return std::unexpected(spooled.error());
  if (*spooled) return parts_->spool->read(id, offset, bytes_max);

  if (offset >= body_in_row_bytes_max) return Bytes{};
  auto query = parts_->database->query(read_body_sql);
  if (!query) return std::unexpected(query.error());
  query->integer(static_cast<std::int64_t>(offset))
      .integer(static_cast<std::int64_t>(std::min(bytes_max, body_in_row_bytes_max)))
      .integer(stored_id(id));
  const Result<bool> row = query->next();
  if (!row) return std::unexpected(row.error());
  if (!*row) {
    return fail(ErrorKind::corrupt, read_body_sql.purpose,
                fmt::format("the content of message {} is gone", id.text()));
  }
  return query->blob_at(0);
}

Result<std::vector<std::pair<std::string, std::string>>> QueueStore::counters() {
  if (auto living = parts_->alive(); !living) return std::unexpected(living.error());
  auto query = parts_->database->query(counters_sql);
  if (!query) return std::unexpected(query.error());
  std::vector<std::pair<std::string, std::string>> counters;
  while (true) {
    const Result<bool> row = query->next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return counters;
    counters.emplace_back(query->text_at(0), query->text_at(1));
  }
}

Result<QueueFigures> QueueStore::figures() {
  if (auto living = parts_->alive(); !living) return std::unexpected(living.error());
  const Result<std::uint64_t> free = parts_->files->free_bytes(parts_->state_directory);
  if (!free) return std::unexpected(free.error());
  const Result<std::uint64_t> room = parts_->room_bytes();
  if (!room) return std::unexpected(room.error());
  const Parts::Tally& tally = parts_->tally;
  return QueueFigures{tally.messages, tally.bytes, tally.quarantined,
                      *free,          *room,       parts_->commits};
}

// --- For open()

Result<> QueueStore::Parts::count_all() {
  auto query = database->query(tally_sql);
  if (!query) return std::unexpected(query.error());
  const Result<bool> row = query->next();
  if (!row) return std::unexpected(row.error());
  tally = {static_cast<std::uint64_t>(query->integer_at(0)),
           static_cast<std::uint64_t>(query->integer_at(1)),
           static_cast<std::uint64_t>(query->integer_at(2))};
  return {};
}

Result<std::vector<QueueId>> QueueStore::Parts::without_row() {
  auto query = database->query(without_row_sql);
  if (!query) return std::unexpected(query.error());
  std::vector<QueueId> found;
  while (true) {
    const Result<bool> row = query->next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return found;
    found.push_back(queue_id(query->integer_at(0)));
  }
}

Result<bool> QueueStore::Parts::is_spooled(QueueId id) {
  auto query = database->query(where_sql);
  if (!query) return std::unexpected(query.error());
  const Result<bool> row = query->integer(stored_id(id)).next();
  if (!row) return row;
  return *row && query->integer_at(0) != 0;
}

Result<std::vector<QueueId>> QueueStore::Parts::damaged() {
  auto query = database->query(spooled_sql);
  if (!query) return std::unexpected(query.error());
  std::vector<QueueId> damaged;
  while (true) {
    const Result<bool> row = query->next();
    if (!row) return std::unexpected(row.error());
    if (!*row) return damaged;
    const QueueId id = queue_id(query->integer_at(0));
    const Result<std::optional<std::uint64_t>> found = spool->size(id);
    if (!found) return std::unexpected(found.error());
    if (*found != static_cast<std::uint64_t>(query->integer_at(1))) damaged.push_back(id);
  }
}

}  // namespace postern::storage
