// A password from standard input: never an argument, which every user of the machine could read.
//
// Promise: the first line without its end; from a terminal it is asked for and not shown.
#pragma once

#include "output.hpp"
#include "relay/base/secret.hpp"

namespace postern::tools {

[[nodiscard]] Outcome<Secret> read_password();

}  // namespace postern::tools
