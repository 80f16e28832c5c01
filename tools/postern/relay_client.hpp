// Asking the running relay over its control socket.
//
// Promise: a relay that is not running is told as such, with how to start it, and one that runs at
// another control socket is not taken for that. Sharp edges: where the state directory was changed
// as well it is; only the socket is used, never the queue's files but its lock: a second process in
// the database would endanger it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "output.hpp"
#include "relay/base/clock.hpp"
#include "relay/control/protocol.hpp"

namespace postern::tools {

// A reload reads keys and users; a list reads the queue. Nobody waits longer at a terminal.
inline constexpr Duration answer_timeout = std::chrono::seconds(30);

// The result of a request that succeeded.
[[nodiscard]] Outcome<Json> ask_relay(const std::string& configuration_path,
                                      const control::Request& request,
                                      Duration timeout = answer_timeout);

// The folder of a snapshot of the queue that the relay made; nothing when it is not running.
[[nodiscard]] Outcome<std::optional<std::string>> ask_snapshot(
    const std::string& configuration_path);

struct ReloadOutcome {
  enum class Kind { reloaded, not_running, refused, not_asked };
  Kind kind = Kind::not_running;
  Failure failure;  // when refused, or when the relay could not be asked
  Json answer;      // when reloaded
};
// After a change of a file: the relay may not be running, which is fine.
[[nodiscard]] ReloadOutcome reload_if_running(const std::string& configuration_path);
// Adds "reload" to the report's JSON and a sentence to its text. What is written but not in force
// is a failure: a warning that says what is in force, and exit code 1.
void tell_reload(const ReloadOutcome& outcome, Report& report);

// What of a status or a reload's answer waits for a restart, a line each; empty when nothing does.
[[nodiscard]] std::string restart_words(const Json& answer);

}  // namespace postern::tools
