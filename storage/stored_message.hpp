// What the queue keeps of a message, and what it tells of one: plain values, no SQL.
//
// Promise: everything that delivery and the operator's command need; the content stays sealed until
// delivery opens it with the message key. Sharp edge: a page of thousands of MessageSummary is in
// memory at once while the queue is loaded; keep it small.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/queue_id.hpp"

namespace postern::storage {

// The envelope as text: storage knows no SMTP grammar; relay/queue/envelope_codec translates.
struct StoredSender {
  std::string reverse_path;  // empty for "<>"
  std::string parameters;    // as MAIL would carry them: "BODY=8BITMIME RET=HDRS ENVID=QQ314159"
};

// As stored. Four bits differ between any two, so that a flipped bit makes none out of another.
enum class RecipientState : std::uint8_t { waiting = 0x33, relayed = 0x55, failed = 0x66 };

struct StoredRecipient {
  std::int64_t index = 0;  // position in the envelope; the recipient's name inside its message
  std::string address;
  std::string
      parameters;  // as RCPT would carry them: "NOTIFY=FAILURE ORCPT=rfc822;anna@far.example"
  RecipientState state = RecipientState::waiting;
  std::string last_reply;  // the newest reply or reason, for people
  bool delay_notified = false;
};

// The message's content. Small: sealed octets in the row. Large: a spool file that was written and
// is named here.
struct StoredContent {
  Bytes wrapped_key;    // crypto::QueueKey
  Bytes sealed_header;  // crypto::seal_small, purpose "header"
  Bytes sealed_body;    // crypto::SealWriter's octets; empty when spooled
  bool spooled = false;
  std::uint64_t header_bytes = 0;  // plain
  std::uint64_t body_bytes = 0;    // plain
};

struct NewMessage {
  QueueId id;
  std::string user_name;  // who submitted; empty for our own reports
  StoredSender sender;
  std::vector<StoredRecipient> recipients;
  StoredContent content;
  WallTime received;
  WallTime next_attempt;
};

struct MessageSummary {
  QueueId id;
  WallTime received;
  WallTime next_attempt;
  Duration waited{};  // while the relay ran, up to the last record; see relay/queue/retry.hpp
  std::uint32_t attempts = 0;
  bool held = false;
  bool quarantined = false;  // its content is damaged or gone; kept for a person to decide
  std::uint64_t bytes = 0;   // header and body
  // For the choice of its lane in the scheduler.
  std::string user_name;
  std::string reverse_path;
  std::string first_recipient;  // of those still waiting; empty when nobody is
};

// What the scheduler must know of a message that was just stored.
[[nodiscard]] MessageSummary summary_of(const NewMessage& message);

struct StoredMessage {
  MessageSummary summary;
  StoredSender sender;
  std::vector<StoredRecipient> recipients;
  StoredContent content;   // sealed_body is left out: read it by read_body()
  std::string last_error;  // why it still waits, in one sentence
};

// What one delivery attempt came to; written in one transaction before anything that depends on it.
struct AttemptRecord {
  QueueId id;
  struct Recipient {
    std::int64_t index = 0;
    RecipientState state = RecipientState::waiting;
    std::string last_reply;
    bool delay_notified = false;
  };
  std::vector<Recipient> recipients;  // those that changed
  bool counts_as_attempt = true;      // raises `attempts`
  WallTime next_attempt;              // for those still waiting
  Duration waited{};                  // so far, while the relay ran
  std::string last_error;
  std::vector<NewMessage> reports;  // of this attempt, made durable in the same commit
};

struct QueueFigures {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;  // plain octets of all messages
  std::uint64_t quarantined = 0;
  std::uint64_t free_bytes = 0;  // of the file system
  std::uint64_t room_bytes =
      0;                      // of them for new mail; the rest is kept for finishing what is queued
  std::uint64_t commits = 0;  // since start
};

}  // namespace postern::storage
