// Whose the files are that this command writes.
//
// Promise: run by root, a file or directory made for the relay is given to the relay's user,
// because secret files are of mode 0600 and the relay must read them. That user is the owner of the
// state directory, or before the first start that of users.d when it is not root. Where neither
// tells, or the command runs as somebody else, the report says what to do.
#pragma once

#include <string>

#include "output.hpp"
#include "relay/base/error.hpp"

namespace postern::tools {

[[nodiscard]] Result<> give_to_relay(const std::string& configuration_path,
                                     const std::string& path);

// Adds a warning to the report when posternd may not be able to read what was written into
// `directory`.
void tell_ownership(const std::string& configuration_path, const std::string& directory,
                    Report& report);

}  // namespace postern::tools
