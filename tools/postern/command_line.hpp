// The words of the command line, turned into one thing to do.
//
// Promise: nothing is done while parsing; a mistake in the words is exit code 2 with a hint at
// --help. CLI11 is used in this part's source file and in backup_words only.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include "output.hpp"

namespace postern::tools {

struct Order {
  bool json = false;
  std::function<Outcome<>()> run;
};

// Help or version was asked for, or the words are wrong.
struct UsageAnswer {
  int exit_code = exit_usage;
  std::string text;  // for standard output, when exit_code is 0
  Failure failure;   // else
  bool json = false;
};

[[nodiscard]] std::variant<Order, UsageAnswer> parse_command_line(int argc,
                                                                  const char* const* argv);

}  // namespace postern::tools
