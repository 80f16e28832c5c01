// Accepting, admitting and ending connections on one loop.
#include "relay/submission/submission_worker.hpp"

#include <utility>

namespace postern::submission {
namespace {

constexpr std::string_view busy_words = "421 4.3.2 the relay is too busy; try again later\r\n";

}  // namespace

Result<std::unique_ptr<SubmissionWorker>> SubmissionWorker::create(SubmissionServices& services,
                                                                   Gatekeeper& gatekeeper,
                                                                   PolicySnapshot policy) {
  auto loop = net::Loop::create();
  if (!loop) return std::unexpected(loop.error());
  return std::unique_ptr<SubmissionWorker>(
      new SubmissionWorker(std::move(*loop), services, gatekeeper, std::move(policy)));
}

SubmissionWorker::SubmissionWorker(std::unique_ptr<net::Loop> loop, SubmissionServices& services,
                                   Gatekeeper& gatekeeper, PolicySnapshot policy)
    : loop_(std::move(loop)),
      services_(services),
      gatekeeper_(gatekeeper),
      policy_(std::move(policy)),
      grace_timer_(std::make_unique<net::Timer>(*loop_)),
      refusals_timer_(std::make_unique<net::Timer>(*loop_)) {}

SubmissionWorker::~SubmissionWorker() {
  begin_stop();
  join();
}

Result<> SubmissionWorker::listen(ListenerPlan& plan) {
  auto on_accept = [this,
                    implicit_tls = plan.implicit_tls](std::unique_ptr<net::Connection> connection) {
    accepted(std::move(connection), implicit_tls);
  };
  auto listener = plan.handed_over_fd >= 0
                      ? net::TcpListener::adopt(*loop_, plan.handed_over_fd, std::move(on_accept))
                      : net::TcpListener::listen(*loop_, plan.address, true, std::move(on_accept));
  if (!listener) return std::unexpected(listener.error());
  plan.address = (*listener)->address();
  listeners_.push_back(std::move(*listener));
  return {};
}

void SubmissionWorker::start() {
  thread_ = std::thread([this] {
    loop_->run();
    // What lives on the loop goes on its thread.
    listeners_.clear();
    waiting_.clear();
    drivers_.clear();
    grace_timer_.reset();
    refusals_timer_.reset();
  });
}

void SubmissionWorker::configure(PolicySnapshot policy) {
  static_cast<void>(
      loop_->post([this, policy = std::move(policy)]() mutable { policy_ = std::move(policy); }));
}

void SubmissionWorker::accepted(std::unique_ptr<net::Connection> connection, bool implicit_tls) {
  const std::uint64_t id = ++last_id_;
  const IpAddress address = connection->peer().address;
  auto patience = std::make_unique<net::Timer>(*loop_);
  patience->start(policy_->admission_timeout,
                  [this, id] { turn_away(id, busy_words, "the relay is too busy to admit it"); });
  waiting_.emplace(id, Waiting{std::move(connection), implicit_tls, std::move(patience)});
  if (!gatekeeper_.ask_connection(*loop_, address,
                                  [this, id, address](Gatekeeper::ConnectionVerdict verdict) {
                                    admit(id, address, verdict);
                                  })) {
    turn_away(id, busy_words, "the relay is too busy to admit it");
  }
}

void SubmissionWorker::admit(std::uint64_t id, const IpAddress& address,
                             Gatekeeper::ConnectionVerdict verdict) {
  using Verdict = Gatekeeper::ConnectionVerdict;
  if (verdict != Verdict::accepted) {
    turn_away(id, "421 4.7.0 too many connections; try again later\r\n",
              verdict == Verdict::too_many ? "connections_max is reached"
                                           : "connections_per_address_max is reached");
    return;
  }
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) {  // turned away meanwhile, or a shutdown began
    gatekeeper_.tell_connection_closed(address);
    return;
  }
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  begin_session(id, std::move(waiting.connection), waiting.implicit_tls);
}

void SubmissionWorker::begin_session(std::uint64_t id, std::unique_ptr<net::Connection> connection,
                                     bool implicit_tls) {
  const IpAddress address = connection->peer().address;
  services_.log.event(LogLevel::info, "client-connected")
      .field("client_address", address.text())
      .field("listener", connection->local().text());
  auto ended = [this, id, address] {
    gatekeeper_.tell_connection_closed(address);
    connection_ended(id);
  };
  auto [place, inserted] =
      drivers_.emplace(id, std::make_unique<SubmissionDriver>(*loop_, services_, gatekeeper_,
                                                              policy_, std::move(connection),
                                                              implicit_tls, std::move(ended)));
  place->second->start();
}

void SubmissionWorker::turn_away(std::uint64_t id, std::string_view words,
                                 std::string_view reason) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  log_refusal(waiting.connection->peer().address, reason);
  if (waiting.implicit_tls) return;  // a handshake only to say no would cost more than it tells
  waiting.connection->write(as_bytes(words));
  waiting.connection->close_after_writing();
}

// The first of each reason at once, the others as a count: thousands come in a second.
void SubmissionWorker::log_refusal(const IpAddress& address, std::string_view reason) {
  const auto [untold, first] = refusals_untold_.try_emplace(reason, 0);
  if (!first) {
    ++untold->second;
    return;
  }
  services_.log.event(LogLevel::warning, "connection-refused")
      .field("client_address", address.text())
      .field("reason", reason);
  if (refusals_untold_.size() == 1) {
    refusals_timer_->start(refusals_told_every, [this] { tell_refusals(); });
  }
}

void SubmissionWorker::tell_refusals() {
  for (auto& [reason, untold] : refusals_untold_) {
    if (untold == 0) continue;
    services_.log.event(LogLevel::warning, "more-connections-refused")
        .field("connections", untold)
        .field("reason", reason);
  }
  // A reason that was quiet for the whole time is told at once when it comes again.
  std::erase_if(refusals_untold_, [](const auto& entry) { return entry.second == 0; });
  for (auto& [reason, untold] : refusals_untold_) untold = 0;
  if (!refusals_untold_.empty()) {
    refusals_timer_->start(refusals_told_every, [this] { tell_refusals(); });
  }
}

void SubmissionWorker::connection_ended(std::uint64_t id) {
  drivers_.erase(id);
  if (stopping_ && drivers_.empty()) loop_->stop();
}

bool SubmissionWorker::ask_alive(net::Loop& home, Callback<> answer) {
  return loop_->post([&home, answer = std::move(answer)]() mutable {
    static_cast<void>(home.post(std::move(answer)));
  });
}

void SubmissionWorker::begin_stop() {
  static_cast<void>(loop_->post([this] { stop_on_loop(); }));
}

void SubmissionWorker::stop_on_loop() {
  if (std::exchange(stopping_, true)) return;
  listeners_.clear();
  waiting_.clear();
  tell_refusals();
  std::vector<std::uint64_t> ids;
  ids.reserve(drivers_.size());
  for (const auto& [id, driver] : drivers_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    if (const auto found = drivers_.find(id); found != drivers_.end()) found->second->finish_soon();
  }
  if (drivers_.empty()) {
    loop_->stop();
    return;
  }
  grace_timer_->start(shutdown_grace, [this] {
    services_.log.event(LogLevel::warning, "sessions-cut")
        .field("sessions", drivers_.size())
        .field("reason", "they did not end within the grace time of a shutdown");
    loop_->stop();
  });
}

void SubmissionWorker::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace postern::submission
