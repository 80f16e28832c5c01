// One token bucket: full at the start, refilled evenly over its period, never above its size.
//
// Promise: a time before the last one refills nothing and does not move the bucket back, so that no
// clock, right or wrong, makes tokens.
#pragma once

#include <cstdint>
#include <optional>

#include "relay/base/clock.hpp"

namespace postern::policy {

class TokenBucket {
 public:
  TokenBucket(std::uint64_t tokens_max, Duration period, MonotonicTime now);
  // Takes `tokens` or tells how long until they are there. More than tokens_max never succeeds:
  // nothing is returned as a wait then, but `period`.
  [[nodiscard]] std::optional<Duration> take(std::uint64_t tokens, MonotonicTime now);
  [[nodiscard]] std::optional<Duration> peek(std::uint64_t tokens, MonotonicTime now) const;
  void give_back(std::uint64_t tokens);
  [[nodiscard]] double level(MonotonicTime now) const;
  void set_level(double level, MonotonicTime now);
  [[nodiscard]] std::uint64_t tokens_max() const { return tokens_max_count_; }

 private:
  std::uint64_t tokens_max_count_;
  double tokens_max_;
  Duration period_;
  double level_;
  MonotonicTime updated_;
};

}  // namespace postern::policy
