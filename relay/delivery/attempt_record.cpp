// What an attempt came to: outcomes into a record, a report where somebody must know, one commit.
#include <algorithm>
#include <utility>

#include "crypto/random.hpp"
#include "relay/delivery/delivery_attempt.hpp"
#include "relay/delivery/report_maker.hpp"

namespace postern::delivery {
namespace {

storage::RecipientState state_of(queue::Outcome::Kind kind) {
  switch (kind) {
    case queue::Outcome::Kind::relayed:
      return storage::RecipientState::relayed;
    case queue::Outcome::Kind::failed:
      return storage::RecipientState::failed;
    case queue::Outcome::Kind::delayed:
      break;
  }
  return storage::RecipientState::waiting;
}

}  // namespace

void DeliveryAttempt::conclude() {
  using Kind = queue::Outcome::Kind;
  events_.transactions_over();
  const WallTime now = read_clocks().wall;
  record_.waited = waited();
  for (auto& target : targets_) {
    if (target.outcome) continue;
    target.outcome =
        damage_
            ? queue::delayed_by_trouble("4.3.0", std::string(quarantine_words) + damage_->detail)
            : queue::delayed_by_trouble("4.3.5", "no upstream of its route is configured");
  }
  if (!damage_) expire();
  for (auto& target : targets_) {
    const queue::Outcome& outcome = *target.outcome;
    result_.figures.relayed += outcome.kind == Kind::relayed ? 1 : 0;
    result_.figures.delayed += outcome.kind == Kind::delayed ? 1 : 0;
    result_.figures.failed += outcome.kind == Kind::failed ? 1 : 0;
    if (outcome.kind == Kind::delayed) record_.last_error = outcome.diagnostic;
    record_.recipients.push_back({message_.recipients[target.position].index,
                                  state_of(outcome.kind), outcome.diagnostic,
                                  message_.recipients[target.position].delay_notified});
  }
  result_.gone = !damage_ && result_.figures.delayed == 0;
  if (!result_.gone) {
    record_.counts_as_attempt = !nothing_tried();
    result_.retry_after = nothing_tried()
                              ? reload_delay
                              : queue::retry_delay(settings_->retry, message_.summary.attempts + 1,
                                                   crypto::random_number());
    record_.next_attempt = now + *result_.retry_after;
  }
  prepare_report(now);
}

void DeliveryAttempt::expire() {
  if (!has_expired()) return;
  for (auto& target : targets_) {
    if (target.outcome->kind != queue::Outcome::Kind::delayed) continue;
    const bool tried_now = !groups_.empty();
    target.outcome = queue::expired(settings_->retry,
                                    tried_now ? target.outcome->diagnostic : message_.last_error);
  }
}

bool DeliveryAttempt::nothing_tried() const {
  return !targets_.empty() && std::ranges::none_of(targets_, &Target::tried);
}

// Those of whom a person is told: failures always, a delay once, success where it was asked for
// (RFC 3461 §4.1).
std::vector<message::ReportedRecipient> DeliveryAttempt::choose_reported(WallTime now) {
  using Kind = queue::Outcome::Kind;
  const bool own_report = message_.summary.user_name.empty();
  const bool delay_due = queue::delay_notice_due(settings_->retry, record_.waited);
  std::vector<message::ReportedRecipient> reported;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const Target& target = targets_[i];
    const auto& notify = target.recipient.notify;
    message::ReportedRecipient entry;
    bool wanted = false;
    if (target.outcome->kind == Kind::failed || damage_) {
      // Of an unreadable sender nobody knows what was wished: the owner or postmaster is told.
      wanted =
          own_report || !sender_known_ || queue::wants_failure_report(sender_.reverse_path, notify);
      entry.action = damage_                             ? message::ReportAction::damaged
                     : target.outcome->status == "4.4.7" ? message::ReportAction::expired
                                                         : message::ReportAction::failed;
    } else if (target.outcome->kind == Kind::relayed) {
      wanted = !own_report && !target.upstream_reports &&
               queue::wants_success_report(sender_.reverse_path, notify);
      entry.action = message::ReportAction::relayed;
    } else if (delay_due && !message_.recipients[target.position].delay_notified) {
      wanted = !own_report && queue::wants_delay_report(sender_.reverse_path, notify);
      entry.action = message::ReportAction::delayed;
      entry.will_retry_until = now + (settings_->retry.lifetime_max - record_.waited);
      record_.recipients[i].delay_notified = true;
    }
    if (!wanted) continue;
    entry.address = target.address;
    entry.remote_mta = target.remote_mta;
    entry.original_recipient = target.recipient.original_recipient;
    // RFC 3463 §3.4: 5.3.0, our own mail system.
    entry.status = damage_ ? "5.3.0" : target.outcome->status;
    entry.diagnostic = target.outcome->diagnostic;
    entry.last_attempt = now;
    reported.push_back(std::move(entry));
  }
  return reported;
}

void DeliveryAttempt::prepare_report(WallTime now) {
  std::vector<message::ReportedRecipient> reported = choose_reported(now);
  if (reported.empty()) {
    record();
    return;
  }
  const std::string reason = reported.front().diagnostic;
  std::vector<Letter> letters = address(std::move(reported));
  if (!letters.empty()) {
    write_letters(std::move(letters), now);
    return;
  }
  services_.log.event(LogLevel::error, "report-undeliverable")
      .field("queue_id", message_.summary.id.text())
      .field("reason", reason)
      .field("advice", "mail to the postmaster of the configuration cannot be delivered");
  record();
}

// Trouble is told to who can mend it, the user's owner; success to the reverse-path that asked for
// it (RFC 3461 §6.2). One letter where that is the same person and everything fits into one.
// Nothing when nobody may be told.
std::vector<DeliveryAttempt::Letter> DeliveryAttempt::address(
    std::vector<message::ReportedRecipient> reported) const {
  const auto for_trouble = report_addressee(*settings_, message_, sender_known_);
  if (!for_trouble) return {};
  const auto& sender = sender_.reverse_path.mailbox;
  std::vector<Letter> letters;
  for (auto& entry : reported) {
    const bool success = entry.action == message::ReportAction::relayed;
    const smtp::Mailbox& addressee = success && sender ? *sender : *for_trouble;
    const std::size_t bytes = message::reported_bytes_max(entry);
    const auto same = std::ranges::find_if(letters, [&](const Letter& letter) {
      return smtp::same_mailbox(letter.addressee, addressee) &&
             letter.bytes + bytes <= reported_bytes_in_letter_max;
    });
    Letter& letter = same != letters.end() ? *same : letters.emplace_back();
    letter.addressee = addressee;
    letter.bytes += bytes;
    letter.reported.push_back(std::move(entry));
  }
  return letters;
}

void DeliveryAttempt::write_letters(std::vector<Letter> letters, WallTime now) {
  // Signing takes milliseconds. The attempt, and with it all that the pool reads, waits for the
  // answer.
  auto work = std::make_unique<std::vector<Letter>>(std::move(letters));
  auto* const running = work.get();
  home_.run_on_pool(
      [running, settings = settings_, message = message_, &key = services_.queue_key, now] {
        for (Letter& letter : *running) {
          letter.written = make_report(*settings, key, message, letter.addressee,
                                       std::move(letter.reported), now);
        }
      },
      [this, alive = alive_, work = std::move(work)]() mutable {
        if (*alive) take_letters(std::move(*work));
      });
}

void DeliveryAttempt::take_letters(std::vector<Letter> letters) {
  for (Letter& letter : letters) {
    if (!letter.written) {
      services_.log.event(LogLevel::error, "report-not-made")
          .field("queue_id", message_.summary.id.text())
          .field("error", letter.written.error().text());
      postpone_failures();
      continue;
    }
    result_.reports.push_back(storage::summary_of(*letter.written));
    record_.reports.push_back(std::move(*letter.written));
  }
  record();
}

// A failure is recorded only together with the report that tells a person of it: without one the
// recipients stay in the queue, are offered again later, and then reported.
void DeliveryAttempt::postpone_failures() {
  for (auto& recipient : record_.recipients) {
    if (recipient.state == storage::RecipientState::failed) {
      recipient.state = storage::RecipientState::waiting;
      result_.gone = false;
    }
  }
  if (result_.gone) return;
  if (!result_.retry_after) result_.retry_after = settings_->retry.retry_delay_max;
  record_.next_attempt = read_clocks().wall + *result_.retry_after;
}

void DeliveryAttempt::record() {
  storage::RecordAttempt request{record_, {}};  // a copy: it may be asked for again
  request.done = [this, alive = alive_, &home = home_](postern::Result<> result) {
    static_cast<void>(home.post([this, alive, result = std::move(result)]() mutable {
      if (*alive) recorded(std::move(result));
    }));
  };
  if (!services_.storage.post(std::move(request))) {
    static_cast<void>(home_.post([this, alive = alive_] {
      if (*alive)
        recorded(
            fail(ErrorKind::busy, "record the attempt", "the storage thread's mailbox is full"));
    }));
  }
}

void DeliveryAttempt::recorded(postern::Result<> result) {
  if (!result) {
    services_.log.event(LogLevel::error, "attempt-not-recorded")
        .field("queue_id", message_.summary.id.text())
        .field("error", result.error().text());
    // Offering the message again would make a duplicate of what was taken; noting it again does
    // not.
    const bool passing =
        result.error().kind == ErrorKind::busy || result.error().kind == ErrorKind::no_space;
    const bool without_report =
        result.error().kind == ErrorKind::invalid && !result_.reports.empty();
    if (without_report) {
      record_.reports.clear();
      result_.reports.clear();
      postpone_failures();
    }
    if (passing || without_report) {
      record_timer_.start(record_retry_delay, [this] { record(); });
      return;
    }
    result_ = {.id = message_.summary.id,
               .retry_after = settings_->retry.retry_delay_min,
               .reports = {},
               .figures = {}};
    finish();
    return;
  }
  for (const auto& target : targets_) log_outcome(target);
  if (damage_) {
    result_.quarantined = true;
    static_cast<void>(services_.storage.post(
        storage::SetQuarantined{message_.summary.id, damage_->text(), storage::Done{}}));
  }
  for (const auto& report : result_.reports) {
    services_.log.event(LogLevel::info, "report-queued")
        .field("queue_id", message_.summary.id.text())
        .field("report_queue_id", report.id.text());
  }
  if (result_.gone) {
    services_.log.event(LogLevel::info, "message-done")
        .field("queue_id", message_.summary.id.text());
  }
  finish();
}

void DeliveryAttempt::log_outcome(const Target& target) const {
  using Kind = queue::Outcome::Kind;
  const queue::Outcome& outcome = *target.outcome;
  const std::string_view event = outcome.kind == Kind::relayed   ? "recipient-relayed"
                                 : outcome.kind == Kind::delayed ? "recipient-delayed"
                                                                 : "recipient-failed";
  auto line =
      services_.log.event(outcome.kind == Kind::relayed ? LogLevel::info : LogLevel::notice, event);
  line.field("queue_id", message_.summary.id.text())
      .field("recipient", target.address)
      .field("status", outcome.status)
      .field("reply", outcome.diagnostic);
  if (!target.upstream.empty()) line.field("upstream", target.upstream);
  if (outcome.kind == Kind::delayed && result_.retry_after) {
    line.field("retry_in", format_duration(*result_.retry_after));
  }
}

}  // namespace postern::delivery
