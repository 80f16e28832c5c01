// The configuration check that `posternd --check-config` and `postern check` share, so that both
// say the same.
#pragma once

#include <string>

#include "relay/config/configuration.hpp"

namespace postern::config {

struct CheckReport {
  bool valid = false;
  // One line a problem, or one that says all is well; each with its line feed.
  std::string text;
};
[[nodiscard]] CheckReport describe(const LoadResult& result, const std::string& path);

}  // namespace postern::config
