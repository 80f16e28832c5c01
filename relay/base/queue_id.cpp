// Queue ids and their text: Crockford's base 32, most significant digit first.
#include "relay/base/queue_id.hpp"

#include <algorithm>

#include "relay/base/text.hpp"

namespace postern {
namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t text_length = 13;  // 13 * 5 = 65 bits: the first digit holds four only
constexpr unsigned random_bits = 22;

std::optional<std::uint64_t> digit_value(char c) {
  const char upper = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  // Read aloud over the telephone: the look-alikes are taken for what they look like.
  if (upper == 'O') return 0;
  if (upper == 'I' || upper == 'L') return 1;
  const std::size_t at = alphabet.find(upper);
  if (at == std::string_view::npos) return std::nullopt;
  return at;
}

}  // namespace

QueueId QueueId::make(WallTime now, std::uint32_t random) {
  // A clock before 1970 (a device without a battery) counts as 1970; the random bits still differ.
  const auto since_1970 = std::max<std::int64_t>(0, now.time_since_epoch().count());
  const std::uint64_t low = random & ((1U << random_bits) - 1);
  return {static_cast<std::uint64_t>(since_1970) << random_bits | low};
}

std::optional<QueueId> QueueId::parse(std::string_view text) {
  if (text.size() != text_length) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = digit_value(text[i]);
    if (!digit) return std::nullopt;
    if (i == 0 && *digit > 15) return std::nullopt;  // beyond 64 bits
    value = value << 5 | *digit;
  }
  return QueueId{value};
}

std::string QueueId::text() const {
  std::string text(text_length, '0');
  std::uint64_t rest = value;
  for (std::size_t i = text_length; i-- > 0; rest >>= 5) text[i] = alphabet[rest & 31];
  return text;
}

}  // namespace postern
