// See the header.
#include "relay/descriptors.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "relay/net/connection.hpp"
#include "storage/spool.hpp"

namespace postern {
namespace {

// Loops with their wake-ups, SQLite's files, the control socket and its clients, DNS, the log: an
// idle relay with two workers and two listeners has 29 in /proc; four times as many to spare.
constexpr std::uint64_t descriptors_of_the_process = 128;

}  // namespace

std::uint64_t descriptors_needed(const config::Configuration& configuration) {
  std::uint64_t needed = descriptors_of_the_process + storage::spool_files_open_max;
  needed += configuration.limits.connections_max;
  needed += configuration.listeners.size() * workers_max;
  needed += net::lingering_max * (workers_max + 1);  // the delivery loop's farewells too
  for (const auto& upstream : configuration.upstreams) needed += upstream.connections_max;
  return needed;
}

void prepare_descriptors(const config::Configuration& configuration, Logger& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log.event(LogLevel::warning, "descriptors-unknown").field("error", std::strerror(errno));
    return;
  }
  if (limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // Refused by a sandbox at worst; what we have is then judged below.
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  }
  const std::uint64_t needed = descriptors_needed(configuration);
  if (limit.rlim_cur >= needed) return;
  log.event(LogLevel::warning, "descriptors-too-few")
      .field("limit", limit.rlim_cur)
      .field("needed", needed)
      .field(
          "advice",
          "mail stops when they run out: raise LimitNOFILE= of the unit (ulimit -Hn in a shell), "
          "or lower connections_max of [limits]");
}

}  // namespace postern
