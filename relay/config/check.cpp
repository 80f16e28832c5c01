// The words of a configuration check; see the header.
#include "relay/config/check.hpp"

#include <fmt/format.h>

namespace postern::config {

namespace {

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace

CheckReport describe(const LoadResult& result, const std::string& path) {
  CheckReport report;
  report.valid = result.configuration != nullptr;
  for (const Problem& problem : result.problems) report.text += problem.text() + '\n';
  if (report.valid) {
    const Configuration& good = *result.configuration;
    report.text = fmt::format(
        "{}: the configuration is good ({}, {}, {}, {})\n", path,
        counted(good.listeners.size(), "listener"), counted(good.users.size(), "user"),
        counted(good.upstreams.size(), "upstream"), counted(good.dkim_keys.size(), "DKIM key"));
  }
  return report;
}

}  // namespace postern::config
