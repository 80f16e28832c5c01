// Tells the supervisor, as often as it asks for (sd_watchdog_enabled(3)), that every thread makes
// progress.
//
// Promise: WATCHDOG=1 is sent only after each of the threads has answered since the last one, so
// that one thread that hangs gets the process restarted. Sharp edge: during a shutdown threads end
// by design; stop_asking() then leaves this loop's own turning as the only sign of life.
#pragma once

#include <functional>
#include <vector>

#include "relay/base/callback.hpp"
#include "relay/net/handed_over_sockets.hpp"
#include "relay/net/loop.hpp"

namespace postern {

class Watchdog {
 public:
  // Asks a thread for a sign of life: it calls `answer` on the watchdog's loop. False: it could not
  // be asked. It is asked again until it has answered, so `answer` may get lost.
  using Ask = std::function<bool(Callback<> answer)>;
  // Four turns an interval: one lost answer is no reason to be restarted.
  static constexpr int turns_per_interval = 4;

  Watchdog(net::Loop& loop, const net::Supervisor& supervisor, Duration interval,
           std::vector<Ask> threads);
  void start();
  void stop_asking();

 private:
  struct Watched {
    Ask ask;
    bool answered = false;
  };
  void turn();
  void ask_silent();
  const net::Supervisor& supervisor_;
  Duration interval_;
  std::vector<Watched> threads_;
  net::Timer timer_;
  bool asking_ = true;
};

}  // namespace postern
