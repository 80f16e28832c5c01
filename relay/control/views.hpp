// The daemon's facts as JSON, for `postern --json` and for the command's own tables.
//
// Promise: names and types of the keys are stable: scripts read them. Times are RFC 3339 text,
// sizes octets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "relay/base/clock.hpp"
#include "storage/stored_message.hpp"

namespace postern::control {

struct StatusFacts {
  std::string version;
  std::string hostname;
  WallTime started;
  WallTime now;
  std::vector<std::pair<std::string, std::string>> listeners;  // "[::]:465", "implicit"
  std::size_t connections = 0;
  storage::QueueFigures queue;
  std::uint64_t relayed = 0;  // recipients, since start
  std::uint64_t delayed = 0;
  std::uint64_t failed = 0;
  struct Upstream {
    std::string name;
    std::string host;
    std::size_t connections = 0;
    std::string last_error;  // empty: none since the last success
  };
  std::vector<Upstream> upstreams;
  std::optional<std::string> reload_problem;  // the last reload was refused because …
};

[[nodiscard]] std::string status_json(const StatusFacts& facts);
// One message as an object: id, user, sender, recipients[{address,state,last_reply}], received,
// next_attempt, attempts, bytes, held, quarantined, last_error.
[[nodiscard]] std::string message_json(const storage::StoredMessage& message);
[[nodiscard]] std::string messages_json(const std::vector<storage::StoredMessage>& messages);

}  // namespace postern::control
