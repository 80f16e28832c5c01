// `postern dkim generate` and `postern dkim show`: a domain's two keys, what to add to the
// configuration and what to put into DNS.
//
// Promise: private keys are written with mode 0600 into a directory of mode 0700 and printed
// nowhere; a key that is there is never overwritten, because the world may still verify mail signed
// with it.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"

namespace postern::tools {

struct DkimOrder {
  std::string domain;
  std::optional<std::string> selector_prefix;  // left out: "p" and the year
  std::optional<std::string> directory;        // left out: dkim beside the configuration file
};
[[nodiscard]] Outcome<> generate_dkim_keys(const std::string& configuration_path,
                                           const DkimOrder& order);

// Keys for every domain that a user may send as and that has none, and their tables added to the
// configuration's end; key files that are there already are taken. `selector_prefix` as above.
[[nodiscard]] Outcome<> generate_missing_dkim_keys(
    const std::string& configuration_path, const std::optional<std::string>& selector_prefix);

// The DNS records of every key of the configuration.
[[nodiscard]] Outcome<> show_dkim_records(const std::string& configuration_path);

}  // namespace postern::tools
