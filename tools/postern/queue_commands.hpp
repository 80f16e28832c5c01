// `postern queue …`: what waits, why, and what a person does about it; all through the running
// relay.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"
#include "relay/control/protocol.hpp"

namespace postern::tools {

[[nodiscard]] Outcome<> list_queue(const std::string& configuration_path);
[[nodiscard]] Outcome<> show_message(const std::string& configuration_path, const std::string& id);
// retry, hold, release or remove: one message by its id, or every message when there is none.
[[nodiscard]] Outcome<> change_queue(const std::string& configuration_path, control::Verb verb,
                                     const std::optional<std::string>& id);

}  // namespace postern::tools
