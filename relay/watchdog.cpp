// Rounds of questions; see the header.
#include "relay/watchdog.hpp"

#include <algorithm>
#include <utility>

namespace postern {

Watchdog::Watchdog(net::Loop& loop, const net::Supervisor& supervisor, Duration interval,
                   std::vector<Ask> threads)
    : supervisor_(supervisor), interval_(interval), timer_(loop) {
  for (auto& ask : threads) threads_.push_back({std::move(ask)});
}

void Watchdog::start() {
  ask_silent();
  timer_.start(interval_ / turns_per_interval, [this] { turn(); });
}

void Watchdog::stop_asking() { asking_ = false; }

void Watchdog::turn() {
  if (!asking_ || std::ranges::all_of(threads_, &Watched::answered)) {
    // Where this fails nobody listens, and nobody waits for it either.
    static_cast<void>(supervisor_.notify("WATCHDOG=1"));
    for (auto& thread : threads_) thread.answered = false;
  }
  start();
}

void Watchdog::ask_silent() {
  if (!asking_) return;
  for (auto& thread : threads_) {
    if (!thread.answered) static_cast<void>(thread.ask([&thread] { thread.answered = true; }));
  }
}

}  // namespace postern
