// How many descriptors the process may hold open, and how many its configuration may come to need.
//
// Promise: the soft limit is raised to the hard one (a login shell and systemd both start us with
// 1,024, meant for programs that use select(2); we use epoll), and a limit that is still too low is
// a warning that names the setting to change. It is no error: the listeners wait when descriptors
// run out, but the queue and the upstreams then wait with them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "relay/base/log.hpp"
#include "relay/config/configuration.hpp"

namespace postern {

inline constexpr std::size_t workers_max = 4;  // relay/README.md, "Threads"

// Every session, file, upstream and farewell that the limits allow at once.
[[nodiscard]] std::uint64_t descriptors_needed(const config::Configuration& configuration);

// At the start and after each reload.
void prepare_descriptors(const config::Configuration& configuration, Logger& log);

}  // namespace postern
