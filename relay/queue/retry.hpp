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
// Expired when the message was received longer than lifetime_max ago. A clock that stands before
// the time of receipt never expires anything.
[[nodiscard]] bool has_expired(const RetrySettings& settings, WallTime received, WallTime now);
[[nodiscard]] bool delay_notice_due(const RetrySettings& settings, WallTime received, WallTime now);

}  // namespace postern::queue
