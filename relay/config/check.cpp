// The words of a configuration check; see the header.
#include "relay/config/check.hpp"

#include <fmt/format.h>

namespace postern::config {

CheckReport describe(const LoadResult& result, const std::string& path) {
  CheckReport report;
  report.valid = result.configuration != nullptr;
  for (const Problem& problem : result.problems) report.text += problem.text() + '\n';
  if (report.valid) {
    const Configuration& good = *result.configuration;
    report.text = fmt::format(
        "{}: the configuration is good ({} listeners, {} users, {} upstreams, {} DKIM keys)\n",
        path, good.listeners.size(), good.users.size(), good.upstreams.size(),
        good.dkim_keys.size());
  }
  return report;
}

}  // namespace postern::config
