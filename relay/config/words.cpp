// Domain names and TOML texts; see the header.
#include "relay/config/words.hpp"

#include <fmt/format.h>

#include "relay/smtp/address.hpp"

namespace postern::config {

bool is_qualified_domain(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  // A last label of digits would be an IPv4 address (RFC 3696 §2: top-level domains are not all
  // numeric).
  return dot != std::string_view::npos && dot + 1 < text.size() &&
         text.find_first_not_of("0123456789", dot + 1) != std::string_view::npos &&
         smtp::is_valid_domain(text, false);
}

std::string quote_toml(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace postern::config
