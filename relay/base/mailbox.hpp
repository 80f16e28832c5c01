// A bounded queue between threads: values in from anywhere, out on one thread.
//
// Promise: push never blocks and never grows past the bound; a full mailbox says so and the caller
// turns that into back-pressure (stop reading, or 452 4.3.1). Only push_release goes beyond it.
// take_all hands over everything that waits in one go, which is what makes group commit a loop of
// three lines. Sharp edge: the waking of a sleeping consumer that is not a thread on
// wait_and_take_all is the caller's matter (net::Loop uses uv_async_t).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

namespace postern {

template <class T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t items_max) : items_max_(items_max) {}

  // False when full or closed; the item is then left with the caller.
  [[nodiscard]] bool push(T&& item) { return push_below(items_max_, std::move(item)); }

  // For an item that sets something free, at most one for each thing held: to refuse it for want of
  // room would keep that thing for ever. False only when closed.
  [[nodiscard]] bool push_release(T&& item) {
    return push_below(std::numeric_limits<std::size_t>::max(), std::move(item));
  }

  // Everything that waits, at once; empty when nothing does.
  [[nodiscard]] std::vector<T> take_all() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(items_, {});
  }

  // Waits until something is there, the mailbox is closed, or `when`; empty when nothing came.
  [[nodiscard]] std::vector<T> wait_and_take_all(std::chrono::steady_clock::time_point when) {
    std::unique_lock lock(mutex_);
    filled_.wait_until(lock, when, [this] { return closed_ || !items_.empty(); });
    return std::exchange(items_, {});
  }

  // Closed, and nothing is in.
  [[nodiscard]] bool drained() {
    const std::scoped_lock lock(mutex_);
    return closed_ && items_.empty();
  }

  // No push succeeds from now on; what is in can still be taken.
  void close() {
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
    }
    filled_.notify_all();
  }

 private:
  bool push_below(std::size_t bound, T&& item) {
    {
      const std::scoped_lock lock(mutex_);
      if (closed_ || items_.size() >= bound) return false;
      items_.push_back(std::move(item));
    }
    filled_.notify_one();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<T> items_;
  const std::size_t items_max_;
  bool closed_ = false;
};

}  // namespace postern
