// Private to relay/net: accepts from a listening socket, TCP or Unix.
//
// Promise: an error such as EMFILE pauses accepting for accept_pause, instead of waking the loop
// for the same waiting connection again and again; the callback may stop the acceptor it came from.
// Sharp edge: freed by libuv's close callback; hold it in an AcceptorHandle.
#pragma once

#include <uv.h>

#include <chrono>
#include <memory>

#include "relay/base/callback.hpp"
#include "relay/base/error.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

inline constexpr int listen_backlog_connections = 512;
inline constexpr int accepts_per_turn_max = 32;  // then other sockets of the loop get their turn
inline constexpr std::chrono::milliseconds accept_pause{1'000};

class Acceptor {
 public:
  struct Stop {
    void operator()(Acceptor* acceptor) const { acceptor->stop(); }
  };
  // Takes `descriptor` (listening, non-blocking), but not when it fails. `accepted` gets a
  // non-blocking descriptor that is its own to close.
  [[nodiscard]] static Result<std::unique_ptr<Acceptor, Stop>> start(Loop& loop, int descriptor,
                                                                     Callback<int> accepted);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  Acceptor() = default;
  ~Acceptor() = default;
  void stop();
  void accept_waiting();
  [[nodiscard]] int begin();
  static void on_handle_closed(uv_handle_t* handle);

  uv_poll_t poll_{};
  uv_timer_t timer_{};
  int descriptor_ = -1;
  int handles_open_ = 0;
  bool stopped_ = false;
  Callback<int> accepted_;
};

using AcceptorHandle = std::unique_ptr<Acceptor, Acceptor::Stop>;

}  // namespace postern::net
