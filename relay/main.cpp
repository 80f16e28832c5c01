// posternd: the relay's process. Reads its two arguments, checks the configuration, hands over to
// Service.
//
// Exit codes: 0 after SIGTERM or a configuration without problems, 1 for anything that a person
// must mend, 2 for a wrong call.
#include <cstdio>
#include <string>
#include <string_view>

#include "crypto/random.hpp"
#include "relay/base/log.hpp"
#include "relay/config/check.hpp"
#include "relay/config/configuration.hpp"
#include "relay/service.hpp"

namespace {

constexpr std::string_view usage =
    "usage: posternd [--check-config] [--state-directory DIR] [--debug] [--config FILE]\n"
    "  --config FILE   the configuration; /etc/postern/postern.toml when left out\n"
    "  --check-config  report every problem of the configuration and end\n"
    "  --state-directory DIR  with --check-config: no other state_directory is good\n"
    "  --debug         log more\n"
    "  --version       print the version and end\n"
    "  --help          print this and end\n";

struct Arguments {
  std::string configuration_path = "/etc/postern/postern.toml";
  std::string state_directory;  // the only one that is good; any where empty
  bool check_only = false;
  bool debug = false;
  bool version = false;
  bool help = false;
  std::string mistake;  // the first one
};

Arguments parse_arguments(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = values[i];
    if (argument == "--check-config") {
      arguments.check_only = true;
    } else if (argument == "--debug") {
      arguments.debug = true;
    } else if (argument == "--version") {
      arguments.version = true;
    } else if (argument == "--help" || argument == "-h") {
      arguments.help = true;
    } else if (argument == "--config" && i + 1 < count) {
      arguments.configuration_path = values[++i];
    } else if (argument == "--state-directory" && i + 1 < count) {
      arguments.state_directory = values[++i];
    } else if (arguments.mistake.empty()) {
      arguments.mistake = argument == "--config" ? "--config needs the name of a file"
                          : argument == "--state-directory"
                              ? "--state-directory needs the name of a directory"
                              : "unknown argument " + postern::quote_log_value(argument);
    }
  }
  return arguments;
}

void say(std::FILE* to, const std::string& text) {
  std::fputs(text.c_str(), to);
  std::fputc('\n', to);
}

}  // namespace

int main(int count, char** values) {
  const Arguments arguments = parse_arguments(count, values);
  if (!arguments.mistake.empty()) {
    say(stderr, "posternd: " + arguments.mistake);
    std::fputs(usage.data(), stderr);
    return 2;
  }
  if (arguments.help) {
    std::fputs(usage.data(), stdout);
    return 0;
  }
  if (arguments.version) {
    say(stdout, "posternd " POSTERN_VERSION);
    return 0;
  }
  if (auto ready = postern::crypto::initialise(); !ready) {
    say(stderr, "posternd: " + ready.error().text());
    return 1;
  }
  auto loaded = arguments.check_only
                    ? postern::config::check_configuration(arguments.configuration_path)
                    : postern::config::load_configuration(arguments.configuration_path);
  for (const auto& problem : loaded.problems) say(stderr, problem.text());
  if (!loaded.configuration) {
    say(stderr, "posternd: the configuration has " + std::to_string(loaded.problems.size()) +
                    (loaded.problems.size() == 1 ? " problem; nothing was started"
                                                 : " problems; nothing was started"));
    return 1;
  }
  if (arguments.check_only && !arguments.state_directory.empty() &&
      loaded.configuration->state_directory != arguments.state_directory) {
    say(stderr, arguments.configuration_path + ": state_directory is \"" +
                    loaded.configuration->state_directory +
                    "\", and here the queue lives in no other place than \"" +
                    arguments.state_directory + "\"");
    return 1;
  }
  if (arguments.check_only) {
    std::fputs(postern::config::describe(loaded, arguments.configuration_path).text.c_str(),
               stdout);
    return 0;
  }
  postern::Logger log = postern::Logger::to_standard_error(
      arguments.debug ? postern::LogLevel::debug : postern::LogLevel::info);
  for (const auto& warning : loaded.warnings) {
    log.event(postern::LogLevel::warning, "configuration-warning").field("warning", warning.text());
  }
  auto service =
      postern::Service::create(arguments.configuration_path, std::move(loaded.configuration), log);
  if (!service) {
    say(stderr, "posternd: " + service.error().text());
    return 1;
  }
  return (*service)->run();
}
