// One libuv event loop and the thread-safe way into it.
//
// Promise: everything in relay/net belongs to the loop it was made on and is only touched on that
// loop's thread; the single exception is Loop::post. post() is bounded and never blocks. Timers
// belong to their owner and are gone with it. No libuv type shows in these headers. Sharp edge:
// destroy what lives on a loop before the loop, on its thread.
#pragma once

#include <cstddef>
#include <memory>

#include "relay/base/callback.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/error.hpp"

namespace postern::net {

inline constexpr std::size_t loop_posts_max = 65'536;  // answers and requests waiting for one loop

class Loop {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Loop>> create();
  ~Loop();
  void run();   // until stop(); on the owning thread
  void stop();  // from any thread
  // Runs `task` on the loop's thread, soon, in the order posted by one thread. False: full or
  // stopped.
  [[nodiscard]] bool post(Callback<> task);
  // Work over a millisecond (password hashing, RSA): on libuv's pool, then `done` on this loop.
  void run_on_pool(Callback<> work, Callback<> done);
  struct Parts;
  [[nodiscard]] Parts& parts() { return *parts_; }

 private:
  Loop();
  std::unique_ptr<Parts> parts_;
};

class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void start(Duration after, Callback<> fired);  // restarts when running
  void stop();

 private:
  struct Parts;
  Parts* parts_;  // freed by libuv's close callback
};

// Signals of the process, for the main loop. `numbers` like SIGTERM, SIGHUP.
class SignalWatcher {
 public:
  SignalWatcher(Loop& loop, int number, Callback<> received);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  struct Parts;
  Parts* parts_;
};

}  // namespace postern::net
