// `postern status`, `postern reload` and `postern check`: the relay as a whole.
#pragma once

#include <string>

#include "output.hpp"

namespace postern::tools {

[[nodiscard]] Outcome<> show_status(const std::string& configuration_path);
[[nodiscard]] Outcome<> reload(const std::string& configuration_path);
// Without a relay: says what `posternd --check-config` says.
[[nodiscard]] Outcome<> check_configuration(const std::string& configuration_path);

}  // namespace postern::tools
