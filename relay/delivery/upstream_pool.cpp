// Handing transactions to connections.
#include "relay/delivery/upstream_pool.hpp"

#include <algorithm>
#include <utility>

namespace postern::delivery {
namespace {

// Not the upstream's fault, so no attempt is counted.
Trouble stopping_trouble() {
  return {"4.3.2", "the relay reloads or shuts down; it is tried again", false};
}

}  // namespace

UpstreamPool::UpstreamPool(net::Loop& loop, net::Resolver& resolver, Logger& log,
                           std::string hostname, std::shared_ptr<const UpstreamSettings> upstream)
    : loop_(loop),
      resolver_(resolver),
      log_(log),
      hostname_(std::move(hostname)),
      upstream_(std::move(upstream)),
      rate_timer_(loop) {
  if (upstream_->messages_per_minute_max) {
    rate_.emplace(*upstream_->messages_per_minute_max, std::chrono::minutes(1),
                  read_clocks().monotonic);
  }
}

UpstreamPool::~UpstreamPool() { *alive_ = false; }

bool UpstreamPool::busy() const {
  return std::ranges::any_of(members_, [](const auto& member) { return member->job != nullptr; });
}

void UpstreamPool::submit(std::unique_ptr<TransactionJob> job) {
  waiting_.push_back(std::move(job));
  static_cast<void>(loop_.post([this, alive = alive_] {
    if (*alive) serve();
  }));
}

void UpstreamPool::forget_trouble() {
  down_delay_ = down_delay_min;
  down_until_ = {};
}

void UpstreamPool::stop() {
  stopped_ = true;
  fail_waiting(stopping_trouble());
  for (auto& member : members_) {
    if (member->idle) {
      member->idle = false;
      member->connection->quit();
    }
  }
}

void UpstreamPool::fail_waiting(const Trouble& trouble) {
  for (auto& job : std::exchange(waiting_, {})) {
    static_cast<void>(
        loop_.post([job = std::move(job), trouble]() mutable { job->no_session(trouble); }));
  }
}

// Takes a token for one message, or arranges to come back when there is one.
bool UpstreamPool::may_begin() {
  if (!rate_) return true;
  const auto wait = rate_->take(1, read_clocks().monotonic);
  if (!wait) return true;
  rate_timer_.start(*wait, [this] { serve(); });
  return false;
}

void UpstreamPool::serve() {
  if (waiting_.empty()) return;
  if (stopped_) {  // a recipient of another route comes here when a shutdown has begun
    fail_waiting(stopping_trouble());
    return;
  }
  if (read_clocks().monotonic < down_until_) {
    fail_waiting({"4.4.1", upstream_->name + " could not be used a moment ago: " + last_error_});
    return;
  }
  for (auto& member : members_) {
    if (waiting_.empty()) return;
    if (!member->idle) continue;
    if (!may_begin()) return;
    give(*member);
  }
  // One opening connection for each waiting job, up to the limit.
  std::size_t opening = static_cast<std::size_t>(std::ranges::count_if(
      members_, [](const auto& member) { return !member->connection->was_ready(); }));
  while (opening < waiting_.size() && members_.size() < upstream_->connections_max) {
    open_connection();
    ++opening;
  }
}

void UpstreamPool::open_connection() {
  members_.push_back(std::make_unique<Member>());
  Member* const member = members_.back().get();  // stays put until ended() removes it
  member->idle_timer = std::make_unique<net::Timer>(loop_);
  member->connection = std::make_unique<UpstreamConnection>(
      loop_, resolver_, log_, hostname_, upstream_,
      UpstreamConnection::Events{
          .ready = [this, member] { ready(*member); },
          .transaction_done =
              [this, member](std::vector<smtp::RecipientResult> results,
                             std::optional<Error> source_error) {
                transaction_done(*member, std::move(results), std::move(source_error));
              },
          .ended = [this, member](const Trouble& trouble) { ended(*member, trouble); },
      });
  member->connection->start();
}

void UpstreamPool::give(Member& member) {
  member.idle = false;
  member.idle_timer->stop();
  member.job = std::move(waiting_.front());
  waiting_.pop_front();
  member.connection->begin(member.job->envelope, member.job->content_bytes,
                           member.job->open_source());
}

void UpstreamPool::ready(Member& member) {
  if (!last_error_.empty()) {
    log_.event(LogLevel::notice, "upstream-back").field("upstream", upstream_->name);
    last_error_.clear();
  }
  down_delay_ = down_delay_min;
  down_until_ = {};
  if (member.connection->used_up()) {  // RFC 9422 §4.1; ended() serves who waits
    member.connection->quit();
    return;
  }
  member.idle = true;
  if (!stopped_ && !waiting_.empty() && may_begin()) {
    give(member);
    return;
  }
  member.idle_timer->start(stopped_ ? Duration(0) : idle_connection_timeout, [&member] {
    if (std::exchange(member.idle, false)) member.connection->quit();
  });
}

void UpstreamPool::transaction_done(Member& member, std::vector<smtp::RecipientResult> results,
                                    std::optional<Error> source_error) {
  auto job = std::move(member.job);
  if (!job) return;
  using Kind = smtp::RecipientResult::Kind;
  const bool untouched = std::ranges::all_of(results, [](const smtp::RecipientResult& result) {
    return result.kind == Kind::unfinished && !result.perhaps_delivered && !result.reply;
  });
  if (untouched && !source_error && member.connection->transactions() > 1 &&
      !job->replaced_connection && !stopped_) {
    job->replaced_connection =
        true;  // the kept connection was dead already; nobody has seen the message
    waiting_.push_front(std::move(job));
    return;  // ended() follows and serves
  }
  TransactionOutcome outcome{std::move(results), std::move(source_error),
                             member.connection->passes_on_report_wishes()};
  static_cast<void>(loop_.post([job = std::move(job), outcome = std::move(outcome)]() mutable {
    job->done(std::move(outcome));
  }));
}

void UpstreamPool::ended(Member& member, const Trouble& trouble) {
  const bool opened = member.connection->was_ready();
  if (member.job) {  // it ended before the session could give results
    static_cast<void>(
        loop_.post([job = std::move(member.job), trouble]() mutable { job->no_session(trouble); }));
  }
  if (!opened) {
    const bool news = last_error_ != trouble.reason;
    last_error_ = trouble.reason;
    if (news) {
      log_.event(LogLevel::warning, "upstream-unusable")
          .field("upstream", upstream_->name)
          .field("status", trouble.status)
          .field("reason", trouble.reason);
    }
    // Other connections may still work (an upstream may limit them); only when none does is it
    // down.
    const bool others = std::ranges::any_of(members_, [&](const auto& other) {
      return other.get() != &member && other->connection->was_ready();
    });
    if (!others) {
      down_until_ = read_clocks().monotonic + down_delay_;
      down_delay_ = std::min(down_delay_ * 2, down_delay_max);
      fail_waiting(trouble);
    }
  }
  // The connection is still on the stack: free it from a fresh one.
  const auto place =
      std::ranges::find_if(members_, [&](const auto& other) { return other.get() == &member; });
  auto gone = std::move(*place);
  members_.erase(place);
  static_cast<void>(loop_.post([this, alive = alive_, gone = std::move(gone)]() mutable {
    gone.reset();
    if (*alive) serve();
  }));
}

}  // namespace postern::delivery
