// The daemon's facts as JSON, for `postern --json` and for the command's own tables.
//
// Promise: names and types of the keys are stable: scripts read them. Times are RFC 3339 text,
// sizes octets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/queue/operator_view.hpp"
#include "storage/stored_message.hpp"

namespace postern::control {

struct StatusFacts {
  std::string version;
  std::string hostname;
  WallTime started;
  WallTime now;
  std::vector<std::pair<std::string, std::string>> listeners;  // "[::]:465", "implicit"
  WallTime certificate_expires;                                // the relay's own
  std::size_t connections = 0;
  storage::QueueFigures queue;
  queue::DeliveryFacts delivery;
  std::optional<std::string> reload_problem;  // the last reload was refused because …
  std::vector<std::string> restart_needed;    // settings that changed and wait for a restart
};

[[nodiscard]] std::string status_json(const StatusFacts& facts);
// {"reloaded":true,"restart_needed":["listener", …]}
[[nodiscard]] std::string reload_json(const std::vector<std::string>& restart_needed);
// {"folder":"/var/lib/postern/snapshot"}
[[nodiscard]] std::string snapshot_json(const std::string& folder);
// {"listeners":[…],"upstreams":[…]}: objects of name, host, result (reached, away, faulty), status,
// reason.
[[nodiscard]] std::string health_json(const queue::HealthFacts& facts);
// {"changed":2,"failed":0}; with failures also "first_failure".
[[nodiscard]] std::string change_json(const queue::QueueChangeCount& count);
// One message as an object: id, user, sender, recipients[{address,state,last_reply}], received,
// next_attempt, attempts, bytes, held, quarantined, last_error.
[[nodiscard]] std::string message_json(const storage::StoredMessage& message);
// {"messages":[…],"more":N}: messages as message_json() makes them, joined by commas, and how many
// the list leaves out.
[[nodiscard]] std::string messages_json(std::string_view messages, std::uint64_t more);

}  // namespace postern::control
