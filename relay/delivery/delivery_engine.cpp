// The delivery thread: due messages into attempts, results back into the scheduler.
#include "relay/delivery/delivery_engine.hpp"

#include <algorithm>
#include <utility>

#include "relay/queue/envelope_codec.hpp"

namespace postern::delivery {

Result<std::unique_ptr<DeliveryEngine>> DeliveryEngine::create(DeliveryServices services,
                                                               SettingsSnapshot settings) {
  auto loop = net::Loop::create();
  if (!loop) return std::unexpected(loop.error());
  auto resolver = net::Resolver::create(**loop);
  if (!resolver) return std::unexpected(resolver.error());
  return std::unique_ptr<DeliveryEngine>(
      new DeliveryEngine(services, std::move(settings), std::move(*loop), std::move(*resolver)));
}

DeliveryEngine::DeliveryEngine(DeliveryServices services, SettingsSnapshot settings,
                               std::unique_ptr<net::Loop> loop,
                               std::unique_ptr<net::Resolver> resolver)
    : services_(services),
      settings_(std::move(settings)),
      loop_(std::move(loop)),
      resolver_(std::move(resolver)),
      timer_(std::make_unique<net::Timer>(*loop_)),
      grace_timer_(std::make_unique<net::Timer>(*loop_)),
      rescan_timer_(std::make_unique<net::Timer>(*loop_)),
      scheduler_(settings_->retry) {
  make_pools();
}

DeliveryEngine::~DeliveryEngine() {
  begin_stop();
  join();
}

void DeliveryEngine::make_pools() {
  for (const auto& upstream : settings_->upstreams) {
    pools_.emplace(upstream->name, std::make_unique<UpstreamPool>(*loop_, *resolver_, services_.log,
                                                                  settings_->hostname, upstream));
    scheduler_.set_slots(upstream->name, upstream->connections_max * slots_per_connection);
  }
}

void DeliveryEngine::start() {
  thread_ = std::thread([this] {
    load_queue(QueueId{});
    loop_->run();
    // What lives on the loop goes on its thread, users before what they use.
    attempts_.clear();
    probes_.clear();
    pools_.clear();
    old_pools_.clear();
    timer_.reset();
    grace_timer_.reset();
    rescan_timer_.reset();
    resolver_.reset();
  });
}

// Page by page, so that a long queue neither fills the memory nor keeps new mail waiting.
void DeliveryEngine::load_queue(QueueId after) {
  storage::LoadSummaries request{summaries_page, after, {}};
  request.done = [this](Result<std::vector<storage::MessageSummary>> summaries) {
    static_cast<void>(loop_->post([this, summaries = std::move(summaries)] {
      if (!summaries) {
        services_.log.event(LogLevel::error, "queue-not-loaded")
            .field("error", summaries.error().text());
        rescan_later();
        return;
      }
      const Now now = read_clocks();
      for (const auto& summary : *summaries) {
        if (summary.quarantined) {
          examine_quarantined(summary.id);
        } else if (!scheduler_.knows(summary.id)) {
          schedule(summary, now);
        }
      }
      if (summaries->size() == summaries_page) load_queue(summaries->back().id);
      tick();
    }));
  };
  if (!services_.storage.post(std::move(request))) {
    services_.log.event(LogLevel::error, "queue-not-loaded")
        .field("error", "the storage thread's mailbox is full");
    rescan_later();
  }
}

void DeliveryEngine::rescan_later() {
  if (stopping_) return;
  rescan_timer_->start(rescan_delay, [this] { load_queue(QueueId{}); });
}

// The next hop is a hint for fairness: the first upstream of the first recipient's route.
void DeliveryEngine::schedule(const storage::MessageSummary& summary, Now now) {
  std::string_view next_hop;
  const auto sender = queue::from_stored(storage::StoredSender{summary.reverse_path, {}});
  const auto recipient = smtp::parse_mailbox(summary.first_recipient, true);
  if (sender && recipient) {
    const auto* upstreams = policy::find_upstreams(settings_->routes, *recipient,
                                                   sender->reverse_path, summary.user_name);
    if (upstreams != nullptr) next_hop = upstreams->front();
  }
  scheduler_.add(summary, next_hop, now);
}

void DeliveryEngine::message_queued(storage::MessageSummary summary) {
  const QueueId id = summary.id;
  if (!loop_->post([this, summary = std::move(summary)] {
        // Loading the queue may have met it first, and may even have begun it.
        if (!scheduler_.knows(summary.id)) schedule(summary, read_clocks());
        tick();
      })) {
    services_.log.event(LogLevel::error, "delivery-not-told")
        .field("queue_id", id.text())
        .field("advice", "the message is safe; it is found again when the queue is read anew");
    rescan_wanted_ = true;
  }
}

void DeliveryEngine::tick() {
  if (stopping_) return;
  if (rescan_wanted_.exchange(false)) rescan_later();
  while (attempts_.size() < attempts_max) {
    const auto id = scheduler_.next_due(read_clocks().monotonic);
    if (!id) break;
    begin_attempt(*id);
  }
  arm_timer();
}

void DeliveryEngine::arm_timer() {
  if (attempts_.size() >= attempts_max) return;  // attempt_finished comes back
  const auto wake = scheduler_.next_wake();
  if (!wake) {
    timer_->stop();
    return;
  }
  const Duration wait = std::max(Duration(0), *wake - read_clocks().monotonic);
  timer_->start(wait, [this] { tick(); });
}

void DeliveryEngine::begin_attempt(QueueId id) {
  attempts_.emplace(id, nullptr);  // its place, until the message is loaded
  storage::LoadMessage request{id, {}};
  request.done = [this, id](Result<storage::StoredMessage> message) {
    static_cast<void>(loop_->post([this, id, message = std::move(message)]() mutable {
      if (stopping_) {  // nothing new is begun, and nothing is noted of what was not
        attempt_finished({.id = id, .retry_after = rescan_delay, .reports = {}, .figures = {}});
      } else if (message) {
        make_attempt(std::move(*message)).start();
      } else {
        message_not_loaded(id, message.error());
      }
    }));
  };
  if (!services_.storage.post(std::move(request))) {
    attempts_.erase(id);
    scheduler_.put_back(id, read_clocks().monotonic + settings_->retry.retry_delay_min);
  }
}

DeliveryAttempt& DeliveryEngine::make_attempt(storage::StoredMessage message) {
  const QueueId id = message.summary.id;
  const MonotonicTime now = read_clocks().monotonic;
  auto find_pool = [this](std::string_view name) -> UpstreamPool* {
    const auto pool = pools_.find(name);
    return pool == pools_.end() ? nullptr : pool->second.get();  // a stopped one says so itself
  };
  DeliveryAttempt::Events events{
      .transactions_over =
          [this, id] {
            scheduler_.give_slot_back(id);
            tick();
          },
      .finished =
          [this](DeliveryAttempt::Result result) {
            static_cast<void>(
                loop_->post([this, result = std::move(result)] { attempt_finished(result); }));
          }};
  auto& place = attempts_[id];
  place = std::make_unique<DeliveryAttempt>(
      *loop_, services_, settings_, std::move(find_pool), std::move(message),
      scheduler_.waiting_since(id).value_or(now), std::move(events));
  return *place;
}

void DeliveryEngine::log_not_loaded(QueueId id, const Error& error) {
  services_.log.event(LogLevel::error, "message-not-loaded")
      .field("queue_id", id.text())
      .field("error", error.text());
}

void DeliveryEngine::message_not_loaded(QueueId id, const Error& error) {
  const bool removed = error.kind == ErrorKind::not_found;
  if (!removed) log_not_loaded(id, error);
  if (error.kind == ErrorKind::corrupt) {
    report_unloadable(id, error);
    return;
  }
  attempt_finished({.id = id,
                    .gone = removed,
                    .retry_after = settings_->retry.retry_delay_min,
                    .reports = {},
                    .figures = {}});
}

// What its summary still says is enough to tell a person that there was a message.
void DeliveryEngine::report_unloadable(QueueId id, const Error& error) {
  storage::LoadSummaries request{1, QueueId{id.value - 1}, {}};
  request.done = [this, id, error](Result<std::vector<storage::MessageSummary>> found) {
    static_cast<void>(loop_->post([this, id, error, found = std::move(found)] {
      if (!found || found->empty() || found->front().id != id) {
        attempt_finished({.id = id,
                          .retry_after = settings_->retry.retry_delay_min,
                          .reports = {},
                          .figures = {}});
        return;
      }
      storage::StoredMessage remains;
      remains.summary = found->front();
      remains.sender.reverse_path = remains.summary.reverse_path;
      remains.recipients.emplace_back().address = remains.summary.first_recipient;
      make_attempt(std::move(remains)).report_damage(error);
    }));
  };
  if (services_.storage.post(std::move(request))) return;
  attempt_finished(
      {.id = id, .retry_after = settings_->retry.retry_delay_min, .reports = {}, .figures = {}});
}

// The store quarantines at its start what has lost its body; a person learns it here, once.
void DeliveryEngine::examine_quarantined(QueueId id) {
  if (!examined_.insert(id).second) return;
  storage::LoadMessage request{id, {}};
  request.done = [this, id](Result<storage::StoredMessage> message) {
    static_cast<void>(loop_->post([this, id, message = std::move(message)]() mutable {
      if (stopping_) return;
      if (!message) {
        // Nothing is left to tell a person of but its id; one that is gone was removed by one.
        if (message.error().kind != ErrorKind::not_found) log_not_loaded(id, message.error());
        return;
      }
      const bool told = std::ranges::none_of(message->recipients, [](const auto& recipient) {
        return recipient.state == storage::RecipientState::waiting &&
               !recipient.last_reply.starts_with(quarantine_words);
      });
      if (told) return;
      const Error damage{ErrorKind::corrupt, "read message " + id.text(), message->last_error};
      make_attempt(std::move(*message)).report_damage(damage);
    }));
  };
  if (!services_.storage.post(std::move(request))) {
    examined_.erase(id);
    rescan_later();
  }
}

void DeliveryEngine::attempt_finished(const DeliveryAttempt::Result& result) {
  attempts_.erase(result.id);
  figures_.relayed += result.figures.relayed;
  figures_.delayed += result.figures.delayed;
  figures_.failed += result.figures.failed;
  const Now now = read_clocks();
  if (result.gone || result.quarantined) {
    scheduler_.finished(result.id);
  } else {
    scheduler_.put_back(
        result.id, now.monotonic + result.retry_after.value_or(settings_->retry.retry_delay_min));
  }
  for (const auto& report : result.reports) schedule(report, now);
  std::erase_if(old_pools_,
                [](const auto& pool) { return !pool->busy() && pool->connections() == 0; });
  if (stopping_) {
    stop_when_quiet();
    return;
  }
  tick();
}

void DeliveryEngine::configure(SettingsSnapshot settings) {
  static_cast<void>(loop_->post([this, settings = std::move(settings)]() mutable {
    settings_ = std::move(settings);
    scheduler_.set_retry(settings_->retry);
    for (auto& [name, pool] : pools_) {
      pool->stop();
      old_pools_.push_back(std::move(pool));
    }
    pools_.clear();
    make_pools();
    tick();
  }));
}

bool DeliveryEngine::ask_facts(net::Loop& home, Callback<DeliveryFacts> answer) {
  return loop_->post([this, &home, answer = std::move(answer)]() mutable {
    DeliveryFacts facts;
    facts.figures = figures_;
    for (const auto& [name, pool] : pools_) {
      facts.upstreams.push_back(
          {name, pool->settings().host, pool->connections(), pool->last_error()});
    }
    static_cast<void>(home.post([answer = std::move(answer), facts = std::move(facts)]() mutable {
      answer(std::move(facts));
    }));
  });
}

void DeliveryEngine::begin_stop() {
  static_cast<void>(loop_->post([this] { stop_on_loop(); }));
}

void DeliveryEngine::stop_on_loop() {
  if (std::exchange(stopping_, true)) return;
  timer_->stop();
  rescan_timer_->stop();
  for (auto& [name, pool] : pools_) pool->stop();
  grace_timer_->start(delivery_grace, [this] {
    services_.log.event(LogLevel::warning, "deliveries-cut")
        .field("messages", attempts_.size())
        .field("reason",
               "they did not end within the grace time of a shutdown; they are tried again");
    loop_->stop();
  });
  stop_when_quiet();
}

void DeliveryEngine::stop_when_quiet() {
  if (attempts_.empty()) loop_->stop();
}

void DeliveryEngine::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace postern::delivery
