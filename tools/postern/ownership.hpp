// Whose the files are that this command writes.
//
// Promise: run by root, a file or directory made for the relay is given to the relay's user, known
// as the owner of its state directory, because secret files are of mode 0600 and the relay must
// read them. Run by anybody else, or before the relay ever ran, files stay their maker's.
#pragma once

#include <string>

#include "relay/base/error.hpp"

namespace postern::tools {

[[nodiscard]] Result<> give_to_relay(const std::string& configuration_path,
                                     const std::string& path);

}  // namespace postern::tools
