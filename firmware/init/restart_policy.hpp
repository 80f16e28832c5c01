// When the relay is started again after it ended, and when that is given up for a while.
//
// Promise: pure; `now` is an argument. The waits grow from one second to a minute; five ends within
// ten minutes are a restart loop: then safe mode, half an hour without a relay, in which the box
// says so and stays reachable for a new configuration. It lasts until a relay is ready again. Five
// ends within a day are told as well.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>

namespace postern::firmware {

class RestartPolicy {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds delay_min{1};
  static constexpr std::chrono::seconds delay_max{60};
  static constexpr std::chrono::minutes loop_window{10};
  static constexpr std::size_t loop_ends = 5;
  static constexpr std::chrono::minutes safe_mode_time{30};
  static constexpr std::chrono::hours day{24};

  // How long to wait after an end at `now`.
  [[nodiscard]] std::chrono::seconds ended(Clock::time_point now) {
    while (!ends_.empty() && now - ends_.front() > loop_window) ends_.pop_front();
    ends_.push_back(now);
    last_ends_.push_back(now);
    if (last_ends_.size() > loop_ends) last_ends_.pop_front();
    if (ends_.size() >= loop_ends) {
      ends_.clear();
      safe_mode_ = true;
      return safe_mode_time;
    }
    std::chrono::seconds delay = delay_min;
    for (std::size_t i = 1; i < ends_.size(); ++i) delay = std::min(delay * 4, delay_max);
    return delay;
  }
  [[nodiscard]] bool safe_mode() const { return safe_mode_; }
  [[nodiscard]] bool ended_often(Clock::time_point now) const {
    return last_ends_.size() == loop_ends && now - last_ends_.front() <= day;
  }
  // The relay is ready.
  void worked() { safe_mode_ = false; }
  // A new configuration deserves a fresh start.
  void forgive() {
    ends_.clear();
    last_ends_.clear();
    safe_mode_ = false;
  }

 private:
  std::deque<Clock::time_point> ends_, last_ends_;
  bool safe_mode_ = false;
};

}  // namespace postern::firmware
