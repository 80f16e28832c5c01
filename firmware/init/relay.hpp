// The relay's process: started, watched by its signs of life, started again with growing waits.
//
// Promise: a relay that fed the watchdog once and then is silent for a minute is killed, and one
// that is not ready after ten; one that ends again and again leads to safe mode
// (restart_policy.hpp). Sharp edge: its notes come over a socket that only the relay's user can
// write to.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "firmware/init/box.hpp"
#include "firmware/init/restart_policy.hpp"

namespace postern::firmware {

class Relay {
 public:
  using Clock = std::chrono::steady_clock;

  void listen();                                      // for its notes
  [[nodiscard]] int notes() const { return notes_; }  // to poll
  void take_notes();
  void look_after();  // called again and again once there is a configuration
  void child_ended(pid_t child, int status);  // of whatever process
  void restart();                             // a new configuration deserves a fresh start
  // What kept it from running may be gone: one that waits to be started again is started now.
  void hurry();
  // The certificate is another one.
  void reload();
  void stop(const FeedWatchdog& feed);  // waits until it has ended

  [[nodiscard]] bool ready() const { return ready_ && process_ > 0; }
  // Ready, or for now nothing to wait for.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] bool safe_mode() const { return policy_.safe_mode(); }
  [[nodiscard]] bool ended_often() const { return policy_.ended_often(Clock::now()); }
  // Not within the time it had, and not since.
  [[nodiscard]] bool never_ready() const;
  [[nodiscard]] int ends() const { return ends_; }  // without having been asked to
  [[nodiscard]] const std::string& last_end() const { return last_end_; }

 private:
  pid_t process_ = -1;
  int notes_ = -1, ends_ = 0;
  bool ready_ = false, fed_ = false, told_to_end_ = false;
  std::string last_end_;
  RestartPolicy policy_;
  // Mail waits meanwhile, but a long queue is read before it is ready.
  static constexpr std::chrono::minutes start_time_min{10};
  std::chrono::minutes start_time_ = start_time_min;  // doubled each time that it was not ready
  Clock::time_point start_again_{}, launched_{}, last_fed_{}, wanted_since_ = Clock::now();
};

}  // namespace postern::firmware
