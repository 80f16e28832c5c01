// The transactions of an attempt. What is concluded from them stands in attempt_record.cpp.
#include "relay/delivery/delivery_attempt.hpp"

#include <algorithm>
#include <utility>

#include "relay/delivery/report_maker.hpp"
#include "relay/queue/envelope_codec.hpp"
#include "storage/envelope_binding.hpp"

namespace postern::delivery {

DeliveryAttempt::DeliveryAttempt(net::Loop& home, const DeliveryServices& services,
                                 SettingsSnapshot settings, FindPool find_pool,
                                 storage::StoredMessage message, MonotonicTime waiting_since,
                                 Events events)
    : home_(home),
      services_(services),
      settings_(std::move(settings)),
      find_pool_(std::move(find_pool)),
      message_(std::move(message)),
      waiting_since_(waiting_since),
      events_(std::move(events)),
      record_timer_(home) {
  result_.id = message_.summary.id;
  record_.id = message_.summary.id;
}

DeliveryAttempt::~DeliveryAttempt() { *alive_ = false; }

// Reads what it can; an Error is the last thing that it could not.
std::optional<Error> DeliveryAttempt::read_envelope() {
  std::optional<Error> unreadable;
  for (std::size_t position = 0; position < message_.recipients.size(); ++position) {
    const auto& stored = message_.recipients[position];
    if (stored.state != storage::RecipientState::waiting) continue;
    auto recipient = queue::from_stored(stored);
    if (!recipient) unreadable = recipient.error();
    targets_.push_back(
        {position, stored.address, std::move(recipient).value_or(smtp::Recipient{})});
  }
  // The recipients first: a report about an unreadable sender has to name them.
  if (auto sender = queue::from_stored(message_.sender)) {
    sender_ = std::move(*sender);
    sender_known_ = true;
  } else {
    unreadable = sender.error();
  }
  // An address in which a bit changed may still read as one: nobody else gets the mail, nor a
  // report about it.
  const auto key = services_.queue_key.unwrap(
      message_.summary.id, storage::envelope_binding(message_), message_.content.wrapped_key);
  if (!key) {
    sender_known_ = false;
    if (!unreadable) unreadable = key.error();
  }
  return unreadable;
}

void DeliveryAttempt::report_damage(const Error& error) {
  static_cast<void>(read_envelope());
  quarantine(error);
}

void DeliveryAttempt::start() {
  if (const auto unreadable = read_envelope()) {
    quarantine(*unreadable);
    return;
  }
  if (has_expired()) {
    conclude();
    return;
  }
  group_by_route();
  next_transaction();
}

// The letter to the postmaster is the last: behind it nobody would learn of anything. It waits.
bool DeliveryAttempt::has_expired() const {
  return queue::has_expired(settings_->retry, waited()) &&
         report_addressee(*settings_, message_, sender_known_);
}

Duration DeliveryAttempt::waited() const { return read_clocks().monotonic - waiting_since_; }

void DeliveryAttempt::finish() { std::exchange(events_.finished, {})(result_); }

void DeliveryAttempt::group_by_route() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    const auto* upstreams =
        policy::find_upstreams(settings_->routes, targets_[index].recipient.mailbox,
                               sender_.reverse_path, message_.summary.user_name);
    if (upstreams == nullptr) {
      targets_[index].outcome =
          queue::delayed_by_trouble("4.4.4", "no [[route]] of the configuration matches " +
                                                 targets_[index].recipient.mailbox.text());
      continue;
    }
    const auto same = std::ranges::find_if(
        groups_, [&](const Group& group) { return group.upstreams == *upstreams; });
    if (same != groups_.end()) {
      same->targets.push_back(index);
    } else {
      groups_.push_back({*upstreams, {index}, 0});
    }
  }
}

// Asks for the next transaction, or concludes when every group is through.
void DeliveryAttempt::next_transaction() {
  for (auto& group : groups_) {
    std::vector<std::size_t> open;
    for (const std::size_t index : group.targets) {
      if (!targets_[index].answered) open.push_back(index);
    }
    if (open.empty() || group.next_upstream >= group.upstreams.size()) continue;
    // After the first upstream only those try another of which nothing final was heard.
    UpstreamPool* const pool = find_pool_(group.upstreams[group.next_upstream++]);
    if (pool == nullptr) continue;
    auto job = std::make_unique<TransactionJob>();
    job->envelope.sender = sender_;
    for (const std::size_t index : open)
      job->envelope.recipients.push_back(targets_[index].recipient);
    job->content_bytes = message_.content.header_bytes + message_.content.body_bytes;
    job->open_source = [this] {
      return std::make_unique<MessageSource>(home_, services_, message_);
    };
    for (const std::size_t index : open) targets_[index].upstream = pool->settings().name;
    job->done = [this, alive = alive_, open,
                 host = pool->settings().host](TransactionOutcome outcome) {
      if (*alive) transaction_done(open, host, std::move(outcome));
    };
    job->no_session = [this, alive = alive_, open](const Trouble& trouble) {
      if (*alive) no_session(open, trouble);
    };
    pool->submit(std::move(job));
    return;
  }
  conclude();
}

void DeliveryAttempt::transaction_done(std::vector<std::size_t> targets, const std::string& host,
                                       TransactionOutcome outcome) {
  if (outcome.source_error && outcome.source_error->kind == ErrorKind::corrupt) {
    quarantine(*outcome.source_error);
    return;
  }
  const auto& results = outcome.results;
  bool progress = false;
  for (std::size_t i = 0; i < targets.size() && i < results.size(); ++i) {
    Target& target = targets_[targets[i]];
    target.outcome = queue::decide_outcome(results[i]);
    target.upstream_reports = outcome.upstream_reports;
    target.remote_mta = results[i].reply ? host : "";
    // An upstream that spoke decides for this attempt: asking the next one after a 4yz would send
    // greylisted mail around in circles, and after the final dot it would make a duplicate.
    target.answered = results[i].reply || results[i].perhaps_delivered;
    progress = progress || target.answered;
  }
  // Recipients over the upstream's limit for one transaction (RFC 9422) go into another one with
  // it.
  if (progress) {
    for (auto& group : groups_) {
      if (std::ranges::find(group.targets, targets.front()) != group.targets.end())
        --group.next_upstream;
    }
  }
  next_transaction();
}

void DeliveryAttempt::no_session(const std::vector<std::size_t>& targets, const Trouble& trouble) {
  for (const std::size_t index : targets) {
    targets_[index].outcome = queue::delayed_by_trouble(trouble.status, trouble.reason);
    targets_[index].remote_mta.clear();
    targets_[index].tried = trouble.tried;
  }
  next_transaction();
}

// Damaged at rest: never delivered altered. Kept for a person, who is told by the log and by
// `postern status`.
void DeliveryAttempt::quarantine(const Error& error) {
  damage_ = error;
  services_.log.event(LogLevel::error, "message-quarantined")
      .field("queue_id", message_.summary.id.text())
      .field("reason", error.text())
      .field("advice", "look at it with `postern queue show`; remove it when it was sent again");
  conclude();
}

}  // namespace postern::delivery
