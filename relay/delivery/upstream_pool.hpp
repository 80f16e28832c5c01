// The connections to one upstream: kept, reused, counted, and left alone for a while when it is
// down.
//
// Promise: never more than connections_max; a connection serves one TLS policy and one credential,
// those of this pool's settings, and a reload with others makes a new pool. messages_per_minute_max
// is kept with a token bucket. An upstream that cannot be reached answers every waiting job at once
// with the reason, and is asked again after down_delay_min, doubling to down_delay_max, so that a
// thousand messages do not make a thousand attempts. A kept connection that turns out dead before
// the upstream said anything is replaced once, silently. Sharp edge: everything on the delivery
// loop; job callbacks run from a fresh stack.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/delivery/delivery_settings.hpp"
#include "relay/delivery/upstream_connection.hpp"
#include "relay/policy/rate_limits.hpp"

namespace postern::delivery {

inline constexpr Duration idle_connection_timeout = std::chrono::seconds(15);
inline constexpr Duration down_delay_min = std::chrono::seconds(2);
inline constexpr Duration down_delay_max = std::chrono::minutes(1);

struct TransactionOutcome {
  std::vector<smtp::RecipientResult> results;  // in the envelope's order
  std::optional<Error> source_error;
  bool upstream_reports = false;  // it has DSN, and what it accepted it reports (RFC 3461 §5.2.1)
};

// One transaction to be done.
struct TransactionJob {
  smtp::Envelope envelope;
  std::uint64_t content_bytes = 0;
  std::function<std::unique_ptr<MessageSource>()> open_source;
  // Exactly one of the two, once.
  Callback<TransactionOutcome> done;
  Callback<Trouble> no_session;
  bool replaced_connection = false;
};

class UpstreamPool {
 public:
  UpstreamPool(net::Loop& loop, net::Resolver& resolver, Logger& log, std::string hostname,
               std::shared_ptr<const UpstreamSettings> upstream);
  ~UpstreamPool();
  void submit(std::unique_ptr<TransactionJob> job);
  // A person wants it tried now: a failure of a moment ago no longer counts.
  void forget_trouble();
  // No further jobs are begun; idle connections say QUIT.
  void stop();
  [[nodiscard]] bool busy() const;
  [[nodiscard]] std::size_t connections() const { return members_.size(); }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  [[nodiscard]] const UpstreamSettings& settings() const { return *upstream_; }

 private:
  struct Member {
    std::unique_ptr<UpstreamConnection> connection;
    std::unique_ptr<TransactionJob> job;  // in its hands
    bool idle = false;
    std::unique_ptr<net::Timer> idle_timer;
  };
  void serve();
  void open_connection();
  void give(Member& member);
  void ready(Member& member);
  void transaction_done(Member& member, std::vector<smtp::RecipientResult> results,
                        std::optional<Error> source_error);
  void ended(Member& member, const Trouble& trouble);
  void fail_waiting(const Trouble& trouble);
  [[nodiscard]] bool may_begin();

  net::Loop& loop_;
  net::Resolver& resolver_;
  Logger& log_;
  std::string hostname_;
  std::shared_ptr<const UpstreamSettings> upstream_;
  std::deque<std::unique_ptr<TransactionJob>> waiting_;
  std::vector<std::unique_ptr<Member>> members_;
  std::optional<policy::TokenBucket> rate_;
  net::Timer rate_timer_;
  MonotonicTime down_until_{};
  Duration down_delay_ = down_delay_min;
  std::string last_error_;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::delivery
