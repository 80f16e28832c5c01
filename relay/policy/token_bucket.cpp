// Taking from a bucket and letting it refill; see the header.
#include "relay/policy/token_bucket.hpp"

#include <algorithm>
#include <cmath>

#include "relay/base/assert.hpp"

namespace postern::policy {
namespace {

// A level is a binary fraction: after exactly the wait that was told, it may lack this share of the
// bucket by rounding. Without the slack a client that keeps to the wait would be refused once more.
constexpr double rounding_slack = 1e-9;

}  // namespace

TokenBucket::TokenBucket(std::uint64_t tokens_max, Duration period, MonotonicTime now)
    : tokens_max_count_(tokens_max),
      tokens_max_(static_cast<double>(tokens_max)),
      period_(period),
      level_(tokens_max_),
      updated_(now) {
  POSTERN_ASSERT(period > Duration::zero());
}

double TokenBucket::level(MonotonicTime now) const {
  if (now <= updated_) return level_;
  // The difference of two arbitrary times may not fit a signed number; as unsigned it always does.
  const auto elapsed = static_cast<std::uint64_t>(now.time_since_epoch().count()) -
                       static_cast<std::uint64_t>(updated_.time_since_epoch().count());
  const double periods = static_cast<double>(elapsed) / static_cast<double>(period_.count());
  return std::min(tokens_max_, level_ + periods * tokens_max_);
}

std::optional<Duration> TokenBucket::peek(std::uint64_t tokens, MonotonicTime now) const {
  if (tokens > tokens_max_count_) return period_;
  const double missing = static_cast<double>(tokens) - level(now);
  if (missing <= rounding_slack * tokens_max_) return std::nullopt;
  // Half the slack comes off, so that rounding cannot push a whole wait up by one more millisecond.
  const double periods = missing / tokens_max_ - rounding_slack / 2;
  const double wait = std::ceil(periods * static_cast<double>(period_.count()));
  return std::clamp(Duration(static_cast<Duration::rep>(wait)), Duration(1), period_);
}

std::optional<Duration> TokenBucket::take(std::uint64_t tokens, MonotonicTime now) {
  const auto wait = peek(tokens, now);
  if (wait) return wait;
  level_ = std::max(0.0, level(now) - static_cast<double>(tokens));
  updated_ = std::max(updated_, now);
  return std::nullopt;
}

void TokenBucket::give_back(std::uint64_t tokens) {
  level_ = std::min(tokens_max_, level_ + static_cast<double>(tokens));
}

void TokenBucket::set_level(double level, MonotonicTime now) {
  level_ = std::isfinite(level) ? std::clamp(level, 0.0, tokens_max_) : 0.0;
  updated_ = now;
}

}  // namespace postern::policy
