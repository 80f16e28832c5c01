// Words of the configuration that its writers need too: domain names and TOML's texts.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace postern::config {

// A fully qualified domain name (RFC 5321 §2.3.5): letters, digits and hyphens in at least two
// labels.
[[nodiscard]] bool is_qualified_domain(std::string_view text);

// A TOML basic string, with its quotes.
[[nodiscard]] std::string quote_toml(std::string_view text);

// The name of `names` that `word` was probably meant to be; empty when none is near.
[[nodiscard]] std::string_view nearest_name(std::string_view word,
                                            std::span<const std::string_view> names);

}  // namespace postern::config
