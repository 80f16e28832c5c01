// Timers and signal watchers: libuv handles that outlive their owner until libuv lets go of them.
#include <algorithm>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/net/loop.hpp"
#include "relay/net/loop_parts.hpp"

namespace postern::net {

struct Timer::Parts {
  uv_timer_t handle{};
  Callback<> fired;

  static void on_fired(uv_timer_t* handle) {
    // Taken out first: the callback may start the timer again or destroy it.
    Callback<> fired = std::move(static_cast<Parts*>(handle->data)->fired);
    static_cast<Parts*>(handle->data)->fired = nullptr;
    if (fired) fired();
  }
  static void on_closed(uv_handle_t* handle) { delete static_cast<Parts*>(handle->data); }
};

Timer::Timer(Loop& loop) : parts_(new Parts()) {
  POSTERN_ASSERT(uv_timer_init(&loop.parts().loop, &parts_->handle) == 0);
  parts_->handle.data = parts_;
}

Timer::~Timer() {
  parts_->fired = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&parts_->handle), Parts::on_closed);
}

void Timer::start(Duration after, Callback<> fired) {
  parts_->fired = std::move(fired);
  // libuv counts from the time it cached when this turn of the loop began; a long turn would
  // shorten the wait.
  uv_update_time(parts_->handle.loop);
  const auto delay_ms = static_cast<std::uint64_t>(std::max<Duration::rep>(after.count(), 0));
  uv_timer_start(&parts_->handle, Parts::on_fired, delay_ms, 0);
}

void Timer::stop() {
  uv_timer_stop(&parts_->handle);
  parts_->fired = nullptr;
}

struct SignalWatcher::Parts {
  uv_signal_t handle{};
  Callback<> received;

  static void on_signal(uv_signal_t* handle, int /*number*/) {
    // Stays in place while it runs: these Parts live until libuv's close callback.
    static_cast<Parts*>(handle->data)->received();
  }
  static void on_closed(uv_handle_t* handle) { delete static_cast<Parts*>(handle->data); }
};

SignalWatcher::SignalWatcher(Loop& loop, int number, Callback<> received) : parts_(new Parts()) {
  parts_->received = std::move(received);
  POSTERN_ASSERT(uv_signal_init(&loop.parts().loop, &parts_->handle) == 0);
  parts_->handle.data = parts_;
  POSTERN_ASSERT(uv_signal_start(&parts_->handle, Parts::on_signal, number) == 0);
}

SignalWatcher::~SignalWatcher() {
  uv_close(reinterpret_cast<uv_handle_t*>(&parts_->handle), Parts::on_closed);
}

}  // namespace postern::net
