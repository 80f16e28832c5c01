// Whether the slot that runs is kept: when its health is checked, and when it is given up.
//
// Promise: pure; `now` is an argument. What the slot is for must work for 20 s on end, then it must
// be healthy. Three ends of the relay, three failed checks in a row, or five minutes without
// passing are a failure.
#pragma once

#include <chrono>

namespace postern::firmware {

class TrialPolicy {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds works_min{20};
  static constexpr std::chrono::minutes time_max{5};
  static constexpr int ends_max = 3;
  static constexpr int checks_failed_max = 3;

  enum class Step { wait, check, fail };

  explicit TrialPolicy(Clock::time_point started) : started_(started), works_since_(started) {}

  // `works`: the relay is ready, or there is no configuration; `ends`: of the relay since the
  // start.
  [[nodiscard]] Step step(Clock::time_point now, bool works, int ends) {
    if (!works) works_since_ = now;
    if (ends - ends_before_ >= ends_max || checks_failed_ >= checks_failed_max ||
        now - started_ > time_max)
      return Step::fail;
    return now - works_since_ < works_min ? Step::wait : Step::check;
  }
  // The check failed at `now`; the next one comes after another 20 s.
  void check_failed(Clock::time_point now) {
    ++checks_failed_;
    works_since_ = now;
  }
  // As if it began now: for the time being there is nowhere to go.
  void begin_again(Clock::time_point now, int ends) {
    *this = TrialPolicy(now);
    ends_before_ = ends;
  }

 private:
  Clock::time_point started_, works_since_;
  int ends_before_ = 0, checks_failed_ = 0;
};

}  // namespace postern::firmware
