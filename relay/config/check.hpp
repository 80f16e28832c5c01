// The configuration check that `posternd --check-config` and `postern check` share, so that both
// say the same.
//
// Promise: beside what every load checks, it tells what a start would refuse: a state directory or
// a control socket in a place that posternd cannot use; and a certificate that ends soon. Run by
// root it takes directories of any user, because posternd runs as another one.
#pragma once

#include <string>
#include <vector>

#include "relay/config/configuration.hpp"

namespace postern::config {

[[nodiscard]] LoadResult check_configuration(const std::string& path);

// The domains that users may send as and for which no DKIM key signs, sorted; a domain below
// another of them is left out, because the parent's key will sign for it.
[[nodiscard]] std::vector<std::string> domains_without_key(const Configuration& configuration);

struct CheckReport {
  bool valid = false;
  // A line for each problem; or one for each warning and one that says all is well. Each with its
  // line feed.
  std::string text;
};
[[nodiscard]] CheckReport describe(const LoadResult& result, const std::string& path);

}  // namespace postern::config
