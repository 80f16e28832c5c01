// Two clocks and what may be done with each.
//
// Promise: delays, timeouts, rates and retries count on MonotonicTime, which never jumps; WallTime
// is only for what people and standards read (Date, Received, DKIM's t=, expiry over a restart).
// Protocol and policy code never reads a clock: `Now` is an argument. Sharp edge: MonotonicTime
// means nothing after a restart.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace postern {

using Duration = std::chrono::milliseconds;

struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  static constexpr bool is_steady = true;
};
using MonotonicTime = std::chrono::time_point<MonotonicTag, Duration>;
using WallTime = std::chrono::sys_time<Duration>;

struct Now {
  MonotonicTime monotonic;
  WallTime wall;
};

// Reads both clocks. Only drivers and the composition root call it.
[[nodiscard]] Now read_clocks();

// "Mon, 23 Nov 2026 20:55:00 +0000" (RFC 5322 §3.3; always in UTC, which no office can get wrong).
[[nodiscard]] std::string format_mail_date(WallTime time);

// "2026-11-23T20:55:00.123Z" for logs and JSON (RFC 3339).
[[nodiscard]] std::string format_timestamp(WallTime time);

// "45s", "15m", "4h", "2d 3h": two units at most, rounded up, for people ("come back in 15m").
[[nodiscard]] std::string format_duration(Duration duration);

}  // namespace postern
