// Handing mail on: the driver of the real delivery sessions; see relay.hpp.
#include <algorithm>

#include "relay/message/delivery_report.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"
#include "tests/world/relay.hpp"

namespace postern::world {

void Relay::arm() {
  const auto wake = scheduler_->next_wake();
  if (!wake) return;
  after(std::max(*wake - timeline_.monotonic(), Duration(0)), [this] { tick(); });
}

void Relay::tick() {
  while (store_ != nullptr) {
    const auto id = scheduler_->next_due(timeline_.monotonic());
    if (!id) return;
    begin_attempt(*id);
  }
}

void Relay::begin_attempt(QueueId id) {
  auto message = store_->load(id);
  if (died_meanwhile()) return;
  if (!message) {
    ledger_.complain("a queued message cannot be loaded: " + message.error().text());
    return;
  }
  ++attempts_;
  auto attempt = std::make_shared<Attempt>(
      Attempt{std::move(*message),
              {},
              {},
              *scheduler_->waiting_since(id),
              smtp::DeliverySession({"relay.office.example", smtp::DeliveryTls::starttls, "relay",
                                     Secret(std::string_view("upstream secret"))}),
              upstream_->connect(),
              0,
              false,
              {}});
  auto sender = queue::from_stored(attempt->message.sender);
  if (!sender) ledger_.complain("a stored sender cannot be read: " + sender.error().text());
  if (sender) attempt->envelope.sender = std::move(*sender);
  for (std::size_t at = 0; at < attempt->message.recipients.size(); ++at) {
    const auto& stored = attempt->message.recipients[at];
    if (stored.state != storage::RecipientState::waiting) continue;
    auto recipient = queue::from_stored(stored);
    if (!recipient) continue;
    attempt->envelope.recipients.push_back(std::move(*recipient));
    attempt->positions.push_back(at);
  }
  attempts_open_.insert(attempt);
  attempt->wire->attach(End::client, {[this, attempt](std::string_view octets) {
                                        if (attempt->over) return;
                                        attempt->session.receive(as_bytes(octets));
                                        pump(*attempt);
                                      },
                                      [this, attempt] {
                                        if (attempt->over) return;
                                        attempt->session.connection_lost("reset by peer");
                                        pump(*attempt);
                                        if (!attempt->over) conclude(*attempt);
                                      }});
  attempt->session.connected();
  pump(*attempt);
}

void Relay::pump(Attempt& attempt) {
  while (!attempt.over) {
    auto action = attempt.session.next_action();
    if (!action) break;
    perform(attempt, *action);
  }
  if (!attempt.over) watch(attempt);
}

// The upstream's patience with us is not ours with it: RFC 5321 section 4.5.3.2.
void Relay::watch(Attempt& attempt) {
  const auto timeout = attempt.session.timeout();
  const std::uint64_t timer = ++attempt.timer;
  if (!timeout) return;
  const auto self = *std::ranges::find_if(attempts_open_,
                                          [&](const auto& open) { return open.get() == &attempt; });
  after(*timeout, [this, self, timer] {
    if (self->over || self->timer != timer) return;
    self->session.timed_out();
    pump(*self);
  });
}

void Relay::perform(Attempt& attempt, smtp::DeliveryAction& action) {
  if (auto* bytes = std::get_if<smtp::SendBytes>(&action)) {
    attempt.wire->send(End::client, bytes->octets);
  } else if (std::holds_alternative<smtp::StartTlsHandshake>(action)) {
    attempt.session.tls_started();
  } else if (std::holds_alternative<smtp::ReadyForTransaction>(action)) {
    if (attempt.begun) {
      attempt.session.quit();
      return;
    }
    attempt.begun = true;
    attempt.session.begin(attempt.envelope, attempt.message.content.header_bytes +
                                                attempt.message.content.body_bytes);
  } else if (std::holds_alternative<smtp::SendContent>(action)) {
    send_content(attempt);
  } else if (auto* done = std::get_if<smtp::TransactionDone>(&action)) {
    attempt.results = std::move(done->results);
  } else if (auto* failed = std::get_if<smtp::SessionFailed>(&action)) {
    attempt.trouble = failed->detail;
    attempt.wire->close(End::client);
    conclude(attempt);
  } else if (std::holds_alternative<smtp::CloseConnection>(action)) {
    attempt.wire->close(End::client);
    conclude(attempt);
  }
}

void Relay::send_content(Attempt& attempt) {
  const Result<std::string> content = open_content(attempt.message);
  if (died_meanwhile()) return;
  if (!content) {
    ledger_.complain("a queued message does not open: " + content.error().text());
    return;
  }
  attempt.session.send_content(as_bytes(*content));
  attempt.session.end_content();
}

Result<std::string> Relay::open_content(const storage::StoredMessage& message) {
  const QueueId id = message.summary.id;
  const auto key = key_.unwrap(id, storage::envelope_binding(message), message.content.wrapped_key);
  if (!key) return std::unexpected(key.error());
  Result<Bytes> plain = crypto::open_small(*key, message.content.sealed_header, "header");
  if (!plain) return std::unexpected(plain.error());
  crypto::SealReader reader(*key);
  for (std::uint64_t offset = 0;;) {
    const auto piece = store_->read_body(id, offset, 100'000);
    if (!piece) return std::unexpected(piece.error());
    if (piece->empty()) break;
    offset += piece->size();
    if (auto read = reader.read(*piece, *plain); !read) return std::unexpected(read.error());
  }
  if (auto end = reader.finish(); !end) return std::unexpected(end.error());
  return std::string(as_text(*plain));
}

void Relay::conclude(Attempt& attempt) {
  attempt.over = true;
  const auto self = *std::ranges::find_if(attempts_open_,
                                          [&](const auto& open) { return open.get() == &attempt; });
  const QueueId id = attempt.message.summary.id;
  scheduler_->give_slot_back(id);
  storage::AttemptRecord record;
  record.id = id;
  record.waited = timeline_.monotonic() - attempt.waiting_since;
  std::vector<queue::Outcome> outcomes;
  bool waits = false;
  for (std::size_t at = 0; at < attempt.positions.size(); ++at) {
    queue::Outcome outcome = at < attempt.results.size()
                                 ? queue::decide_outcome(attempt.results[at])
                                 : queue::delayed_by_trouble("4.4.1", attempt.trouble);
    if (outcome.kind == queue::Outcome::Kind::delayed &&
        queue::has_expired(retry_, record.waited)) {
      outcome = queue::expired(retry_, outcome.diagnostic);
    }
    using Kind = queue::Outcome::Kind;
    waits = waits || outcome.kind == Kind::delayed;
    if (outcome.kind == Kind::relayed && mistake_ == Mistake::taken_is_unrecorded &&
        ++mistaken_ % 8 == 0) {
      outcome.kind = Kind::delayed;
      waits = true;
    }
    const auto state = outcome.kind == Kind::relayed  ? storage::RecipientState::relayed
                       : outcome.kind == Kind::failed ? storage::RecipientState::failed
                                                      : storage::RecipientState::waiting;
    record.recipients.push_back({attempt.message.recipients[attempt.positions[at]].index, state,
                                 outcome.diagnostic, false});
    outcomes.push_back(std::move(outcome));
  }
  const Duration delay = queue::retry_delay(retry_, attempt.message.summary.attempts + 1,
                                            static_cast<std::uint32_t>(random_.number()));
  record.next_attempt = timeline_.now().wall + delay;
  add_report(attempt, record, outcomes);
  change({[this, record] { return store_->record(record); },
          [this, record, waits, delay, self](const Result<>& done) {
            attempts_open_.erase(self);
            if (!done) ledger_.complain("an attempt was not recorded: " + done.error().text());
            if (waits) {
              scheduler_->put_back(record.id, timeline_.monotonic() + delay);
            } else {
              scheduler_->finished(record.id);
            }
            for (const auto& report : record.reports) {
              scheduler_->add(storage::summary_of(report), next_hop, timeline_.now());
            }
            arm();
            tick();
          }});
}

void Relay::add_report(const Attempt& attempt, storage::AttemptRecord& record,
                       const std::vector<queue::Outcome>& outcomes) {
  const storage::StoredMessage& message = attempt.message;
  message::ReportFacts facts;
  for (std::size_t at = 0; at < outcomes.size(); ++at) {
    if (outcomes[at].kind != queue::Outcome::Kind::failed) continue;
    const auto& recipient = attempt.envelope.recipients[at];
    if (!queue::wants_failure_report(attempt.envelope.sender.reverse_path, recipient.notify)) {
      continue;
    }
    message::ReportedRecipient entry;
    entry.address = recipient.mailbox.text();
    entry.status = outcomes[at].status;
    entry.diagnostic = outcomes[at].diagnostic;
    entry.last_attempt = timeline_.now().wall;
    facts.recipients.push_back(std::move(entry));
  }
  if (facts.recipients.empty() || mistake_ == Mistake::failure_unreported) return;
  const QueueId id = QueueId::make(timeline_.now().wall, static_cast<std::uint32_t>(++ids_));
  facts.reporting_mta = "relay.office.example";
  facts.to = owner_address;
  facts.postmaster = owner_address;
  facts.queue_id = message.summary.id.text();
  facts.message_id = id.text() + "@relay.office.example";
  facts.boundary_token = "0123456789abcdef";
  facts.user_name = message.summary.user_name;
  facts.arrival = message.summary.received;
  facts.now = timeline_.now().wall;
  const message::Report report = message::write_report(facts);
  Bytes unused;
  smtp::Recipient owner;
  owner.mailbox = smtp::parse_mailbox(owner_address, false).value_or(smtp::Mailbox{});
  storage::NewMessage& letter = record.reports.emplace_back();
  letter.id = id;
  letter.sender = queue::to_stored(smtp::Sender{});
  letter.recipients = queue::to_stored(std::vector{owner});
  seal(letter, report.header + "\r\n" + report.body, unused);
}

}  // namespace postern::world
