// When a message is tried again, when its sender hears of a delay, and when it is given up (RFC
// 5321 §4.5.4).
#pragma once

#include <cstdint>

#include "relay/base/clock.hpp"

namespace postern::queue {

struct RetrySettings {
  Duration retry_delay_min = std::chrono::minutes(1);
  Duration retry_delay_max = std::chrono::hours(4);
  Duration delay_notice_after = std::chrono::hours(4);
  Duration lifetime_max = std::chrono::days(5);
};

// After the nth attempt (1 is the first): min, 2×, 4× … up to max, each with up to a tenth taken
// off by `random` (0..2^32-1), so that a thousand messages deferred together do not come back
// together.
[[nodiscard]] Duration retry_delay(const RetrySettings& settings, std::uint32_t attempts,
                                   std::uint32_t random);
// `waited` is how long the message waited while the relay ran, counted on the monotonic clock and
// kept across restarts: a box that boots with a wrong wall clock, or lay in a drawer for a week,
// gives nothing up early.
[[nodiscard]] bool has_expired(const RetrySettings& settings, Duration waited);
[[nodiscard]] bool delay_notice_due(const RetrySettings& settings, Duration waited);

}  // namespace postern::queue
