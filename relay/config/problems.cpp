// Places and problems; see the header.
#include "relay/config/problems.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "relay/base/log.hpp"
#include "relay/config/limits.hpp"

namespace postern::config {

namespace {
constexpr std::size_t shown_bytes_max = 100;  // a problem is one line on a terminal
}

std::string Problem::text() const {
  if (line == 0) return fmt::format("{}: {}", file, message);
  return fmt::format("{}:{}:{}: {}", file, line, column, message);
}

std::string Place::text() const { return line == 0 ? file : fmt::format("{}:{}", file, line); }

void Problems::add(const Place& place, std::string message) {
  if (problems_.size() > problems_max) return;
  if (problems_.size() == problems_max) {
    message = "more problems follow; mend these first, then check again";
  }
  problems_.push_back(Problem{place.file, place.line, place.column, std::move(message)});
}

std::vector<Problem> Problems::take_sorted() {
  const auto key = [](const Problem& problem) {
    return std::tie(problem.file, problem.line, problem.column, problem.message);
  };
  std::ranges::sort(problems_, [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
  const auto repeated = std::ranges::unique(
      problems_, [&](const Problem& a, const Problem& b) { return key(a) == key(b); });
  problems_.erase(repeated.begin(), repeated.end());
  return std::exchange(problems_, {});
}

std::string shown(std::string_view value) {
  const bool cut = value.size() > shown_bytes_max;
  std::string quoted = quote_log_value(value.substr(0, shown_bytes_max));
  if (!quoted.starts_with('"')) quoted = '"' + quoted + '"';
  return cut ? quoted + "…" : quoted;
}

std::string written(Duration duration) {
  static constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> units = {
      {{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1'000, "s"}}};
  for (const auto& [milliseconds, name] : units) {
    if (duration.count() != 0 && duration.count() % milliseconds == 0) {
      return fmt::format("{}{}", duration.count() / milliseconds, name);
    }
  }
  return fmt::format("{}ms", duration.count());
}

}  // namespace postern::config
