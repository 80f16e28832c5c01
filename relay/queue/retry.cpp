// The retry schedule's arithmetic (RFC 5321 §4.5.4.1).
//
// Promise: no overflow whatever the settings or the count of attempts; a
// delay is never zero, so that a wrong setting cannot make a busy loop.
#include "relay/queue/retry.hpp"

#include <algorithm>

namespace postern::queue {
namespace {

constexpr Duration delay_floor = std::chrono::milliseconds(1);
// A tenth of the delay is left to chance: enough to part a crowd, too little to miss a notice.
constexpr Duration::rep spread_divisor = 10;

}  // namespace

Duration retry_delay(const RetrySettings& settings, std::uint32_t attempts, std::uint32_t random) {
  const Duration delay_max = std::max(settings.retry_delay_max, delay_floor);
  Duration delay = std::clamp(settings.retry_delay_min, delay_floor, delay_max);
  for (std::uint32_t attempt = 1; attempt < attempts && delay < delay_max; ++attempt) {
    delay = delay > delay_max / 2 ? delay_max : delay * 2;
  }
  // random / 2^32 of a tenth; the product of 63 and 32 bits is kept in range by taking the high
  // part first.
  const std::uint64_t tenth = static_cast<std::uint64_t>(delay.count() / spread_divisor);
  const std::uint64_t taken_off =
      (tenth >> 32U) * random + (((tenth & 0xFFFFFFFFU) * random) >> 32U);
  return std::max(delay - Duration(static_cast<Duration::rep>(taken_off)), delay_floor);
}

bool has_expired(const RetrySettings& settings, Duration waited) {
  return waited > settings.lifetime_max;
}

bool delay_notice_due(const RetrySettings& settings, Duration waited) {
  return waited >= settings.delay_notice_after;
}

}  // namespace postern::queue
