// A password from standard input: never an argument, which every user of the machine could read.
//
// Promise: the first line without its end; from a terminal it is asked for and not shown.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"
#include "relay/base/secret.hpp"

namespace postern::tools {

[[nodiscard]] Outcome<Secret> read_password();

// Where the passphrase of a backup comes from: one of these, else the terminal.
struct PassphraseOrder {
  bool from_stdin = false;
  std::optional<std::string> file;  // its first line
  bool make = false;                // a new one, to be shown once
};
// From the terminal it is asked for twice where it is `fresh`: nobody could open the backup after a
// slip.
[[nodiscard]] Outcome<Secret> read_passphrase(const PassphraseOrder& order, bool fresh);

}  // namespace postern::tools
