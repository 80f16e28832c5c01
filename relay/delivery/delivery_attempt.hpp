// One attempt at one message: routes resolved, transactions asked for, replies turned into
// outcomes, the record written. The engine makes one of these for each message that is due.
//
// Promise: every recipient still waiting gets exactly one outcome; upstreams of a route are tried
// in order, the next one only for recipients of which the last one heard nothing final; the record
// (and the report, in the same commit) is durable before `finished` is told, and before the
// scheduler hears of the message again. Sharp edge: `finished` may come from inside start() or of
// any answer; its receiver destroys the attempt from a fresh stack only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/delivery/delivery_settings.hpp"
#include "relay/delivery/upstream_pool.hpp"
#include "relay/message/delivery_report.hpp"
#include "relay/net/loop.hpp"
#include "relay/queue/operator_view.hpp"
#include "relay/queue/outcome.hpp"
#include "storage/stored_message.hpp"

namespace postern::delivery {

using queue::AttemptFigures;

// After a reload that came between, a message is offered again at once, by the new settings.
inline constexpr Duration reload_delay = std::chrono::milliseconds(100);
// A record that found no room is asked for again; delivering again instead would make duplicates.
inline constexpr Duration record_retry_delay = std::chrono::seconds(5);

// How the reason of a quarantined recipient begins: with it a person was told already.
inline constexpr std::string_view quarantine_words = "quarantined: ";

class DeliveryAttempt {
 public:
  struct Result {
    QueueId id;
    bool gone = false;  // nobody waits any more
    bool quarantined = false;
    std::optional<Duration> retry_after;
    std::vector<storage::MessageSummary> reports;  // were queued in the same commit
    AttemptFigures figures;
  };
  using FindPool = std::function<UpstreamPool*(std::string_view upstream)>;

  struct Events {
    // No transaction of it runs any more; the record is still to be written.
    Callback<> transactions_over;
    Callback<Result> finished;
  };

  // The message's age counts from `waiting_since`.
  DeliveryAttempt(net::Loop& home, const DeliveryServices& services, SettingsSnapshot settings,
                  FindPool find_pool, storage::StoredMessage message, MonotonicTime waiting_since,
                  Events events);
  ~DeliveryAttempt();
  DeliveryAttempt(const DeliveryAttempt&) = delete;
  DeliveryAttempt& operator=(const DeliveryAttempt&) = delete;
  void start();
  // Instead of start(): it cannot be read back, which a person is told.
  void report_damage(const Error& error);

 private:
  struct Target {          // one recipient still waiting
    std::size_t position;  // in message_.recipients
    std::string address;   // as stored; also where it cannot be read
    smtp::Recipient recipient;
    std::optional<queue::Outcome> outcome{};
    std::string upstream{};         // the last that was asked
    std::string remote_mta{};       // its host, where the outcome is its reply (RFC 3464 §2.3.5)
    bool upstream_reports = false;  // success, in our place
    bool answered = false;          // an upstream said something about it, or may have it
    bool tried = true;  // false: a reload or shutdown came before any upstream was asked
  };
  struct Group {  // recipients with the same route
    std::vector<std::string> upstreams;
    std::vector<std::size_t> targets;
    std::size_t next_upstream = 0;
  };
  struct Letter {  // one report, to one person
    std::vector<message::ReportedRecipient> reported;
    smtp::Mailbox addressee;
    std::size_t bytes = 0;  // at most, for what is reported
    postern::Result<storage::NewMessage> written =
        fail(ErrorKind::busy, "write a report", "not done");
  };
  [[nodiscard]] std::optional<Error> read_envelope();
  void group_by_route();
  void next_transaction();
  void transaction_done(std::vector<std::size_t> targets, const std::string& host,
                        TransactionOutcome outcome);
  void no_session(const std::vector<std::size_t>& targets, const Trouble& trouble);
  void conclude();
  void expire();
  void prepare_report(WallTime now);
  [[nodiscard]] std::vector<message::ReportedRecipient> choose_reported(WallTime now);
  [[nodiscard]] std::vector<Letter> address(std::vector<message::ReportedRecipient> reported) const;
  void write_letters(std::vector<Letter> letters, WallTime now);
  void take_letters(std::vector<Letter> letters);
  void postpone_failures();
  [[nodiscard]] bool nothing_tried() const;
  [[nodiscard]] Duration waited() const;
  [[nodiscard]] bool has_expired() const;
  void record();
  void recorded(postern::Result<> result);
  void finish();
  void quarantine(const Error& error);
  void log_outcome(const Target& target) const;

  net::Loop& home_;
  const DeliveryServices& services_;
  SettingsSnapshot settings_;
  FindPool find_pool_;
  storage::StoredMessage message_;
  MonotonicTime waiting_since_;
  Events events_;
  smtp::Sender sender_;
  std::vector<Target> targets_;
  std::vector<Group> groups_;
  storage::AttemptRecord record_;
  Result result_;
  std::optional<Error> damage_;
  bool sender_known_ = false;
  net::Timer record_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::delivery
