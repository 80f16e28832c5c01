// Asking the operator's command whether the relay is healthy, for an update's trial.
//
// Promise: bounded in time; `reason` is a sentence that a person may read months later. Before an
// update the faults of upstreams are noted, so that the new slot is not blamed for them.
#pragma once

#include <string>

#include "firmware/init/box.hpp"

namespace postern::firmware {

struct Health {
  bool good = false;
  std::string reason;  // when not good
};
[[nodiscard]] Health check_health(const FeedWatchdog& feed);
// Nothing is noted, and so nothing excused, where the relay does not run.
void note_known_faults(bool relay_runs, const FeedWatchdog& feed);

}  // namespace postern::firmware
