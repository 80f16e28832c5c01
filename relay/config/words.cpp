// Domain names and TOML texts; see the header.
#include "relay/config/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "relay/base/text.hpp"
#include "relay/smtp/address.hpp"

namespace postern::config {

namespace {

// How many single letters must be put in, taken out or changed to make one of the other
// (Levenshtein).
std::size_t letters_apart(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (ascii_lower(a[i]) == ascii_lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

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

std::string_view nearest_name(std::string_view word, std::span<const std::string_view> names) {
  constexpr std::size_t word_bytes_max = 64;  // longer than every name of ours; bounds the work
  if (word.size() > word_bytes_max) return {};
  std::string_view nearest;
  // Two letters swapped are two changes: allowed from four letters on.
  std::size_t nearest_apart = std::max<std::size_t>(word.size() / 3, word.size() < 4 ? 1 : 2) + 1;
  for (const std::string_view name : names) {
    const std::size_t apart = letters_apart(word, name);
    if (apart < nearest_apart) {
      nearest = name;
      nearest_apart = apart;
    }
  }
  return nearest;
}

}  // namespace postern::config
