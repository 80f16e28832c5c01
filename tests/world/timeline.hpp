// The world's time: one clock, and what happens when. Nothing waits for real.
//
// Promise: events happen in the order of their time, and of their making where that is equal, so
// that a seed gives the same world twice. The wall clock may jump; the monotonic one never does.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "relay/base/clock.hpp"

namespace postern::world {

class Timeline {
 public:
  [[nodiscard]] Now now() const { return {now_, WallTime(now_.time_since_epoch() + wall_offset_)}; }
  [[nodiscard]] MonotonicTime monotonic() const { return now_; }
  void jump_wall(Duration by) { wall_offset_ += by; }

  void after(Duration delay, std::move_only_function<void()> event) {
    events_.emplace(std::pair{now_ + delay, ++made_}, std::move(event));
  }
  // False: nothing is to come.
  bool step() {
    if (events_.empty()) return false;
    auto next = events_.extract(events_.begin());
    now_ = next.key().first;
    ++done_;
    next.mapped()();
    return true;
  }
  [[nodiscard]] std::uint64_t done() const { return done_; }

 private:
  MonotonicTime now_{std::chrono::hours(1)};
  Duration wall_offset_ = std::chrono::hours(24 * 365 * 56);  // some time in 2025
  std::map<std::pair<MonotonicTime, std::uint64_t>, std::move_only_function<void()>> events_;
  std::uint64_t made_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace postern::world
