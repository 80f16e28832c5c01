// postern-bench: the load source and the sink of tools/bench, which is the program to call.
#include <csignal>
#include <map>
#include <string>
#include <string_view>

#include "relay/base/text.hpp"
#include "tools/benchmark/load.hpp"
#include "tools/benchmark/sink.hpp"
#include "tools/benchmark/stream.hpp"

namespace {

using postern::benchmark::stop_with;

// "--name value" pairs, all of them needed: the caller is a program.
class Arguments {
 public:
  Arguments(int count, char** words) {
    for (int i = 2; i + 1 < count; i += 2) {
      const std::string_view name = words[i];
      if (!name.starts_with("--")) stop_with("'" + std::string(name) + "' should begin with --");
      values_.emplace(name.substr(2), words[i + 1]);
    }
  }
  [[nodiscard]] std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) stop_with("--" + name + " is missing");
    return found->second;
  }
  template <class Number>
  [[nodiscard]] Number number(const std::string& name) const {
    const auto value = postern::parse_decimal<Number>(text(name));
    if (!value) stop_with("--" + name + " should be a number");
    return *value;
  }

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

postern::benchmark::LoadMode mode_of(const std::string& word) {
  using postern::benchmark::LoadMode;
  if (word == "kept") return LoadMode::kept;
  if (word == "one") return LoadMode::one;
  if (word == "idle") return LoadMode::idle;
  stop_with("--mode is kept, one or idle, not " + word);
}

void sink(const Arguments& arguments) {
  postern::benchmark::run_sink({.port = arguments.number<std::uint16_t>("port"),
                                .certificate = arguments.text("certificate"),
                                .private_key = arguments.text("private-key"),
                                .user = arguments.text("user"),
                                .password = arguments.text("password")});
}

void load(const Arguments& arguments) {
  postern::benchmark::run_load({.port = arguments.number<std::uint16_t>("port"),
                                .roots = arguments.text("roots"),
                                .user = arguments.text("user"),
                                .password = arguments.text("password"),
                                .sender = arguments.text("sender"),
                                .recipient = arguments.text("recipient"),
                                .mode = mode_of(arguments.text("mode")),
                                .connections = arguments.number<std::size_t>("connections"),
                                .messages = arguments.number<std::size_t>("messages"),
                                .message_bytes = arguments.number<std::size_t>("message-bytes"),
                                .report = arguments.text("report")});
}

}  // namespace

int main(int count, char** words) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string_view what = count > 1 ? words[1] : "";
  const Arguments arguments(count, words);
  if (what == "sink") {
    sink(arguments);
  } else if (what == "load") {
    load(arguments);
  } else {
    stop_with("usage: postern-bench sink|load --NAME VALUE...; tools/bench is the program to call");
  }
  return 0;
}
