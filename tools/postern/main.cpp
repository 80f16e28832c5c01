// postern, the operator's command: users, queue, keys and state of the relay.
//
// Promise: exit code 0 done, 1 failed, 2 wrong words; every error ends with what to do; secrets
// come from standard input and never from arguments. Sharp edge: it reads and writes the
// configuration's files itself but never the queue's.
#include <cstdio>
#include <exception>
#include <variant>

#include "command_line.hpp"
#include "crypto/random.hpp"
#include "output.hpp"

namespace {

using namespace postern;

int run(int argc, char** argv) {
  const auto parsed = tools::parse_command_line(argc, argv);
  if (const auto* usage = std::get_if<tools::UsageAnswer>(&parsed)) {
    if (usage->exit_code == 0) {
      std::fputs(usage->text.c_str(), stdout);
    } else {
      tools::print_failure(usage->failure, usage->json);
    }
    return usage->exit_code;
  }
  const auto& order = std::get<tools::Order>(parsed);
  if (const auto ready = crypto::initialise(); !ready) {
    tools::print_failure(
        {ready.error().text(), "Try again; if it stays so, the system lacks randomness."},
        order.json);
    return tools::exit_failed;
  }
  return tools::print(order.run(), order.json);
}

}  // namespace

// The libraries of the command line, of JSON and of text may throw where memory or a stream fails.
int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    static_cast<void>(
        std::fprintf(stderr, "postern: %s. Nothing more was done; try again.\n", error.what()));
    return tools::exit_failed;
  }
}
