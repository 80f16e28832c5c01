// Relaxed header canonicalisation and the choice of fields; see the header.
#include "crypto/dkim_canonical.hpp"

#include <array>

#include "relay/base/text.hpp"

namespace postern::crypto {

namespace {

// Signed once more than they occur, so that one added on the way breaks the signature (RFC 6376
// §5.4.2, §8.15): what a reader sees of who, what and when, and how the body is to be read.
constexpr std::array<std::string_view, 13> oversigned_names = {"from",
                                                               "to",
                                                               "cc",
                                                               "subject",
                                                               "date",
                                                               "message-id",
                                                               "reply-to",
                                                               "sender",
                                                               "mime-version",
                                                               "content-type",
                                                               "content-transfer-encoding",
                                                               "in-reply-to",
                                                               "references"};
// Signed where they are; a list server on the way may add its own.
constexpr std::array<std::string_view, 8> signed_names = {
    "list-id",        "list-help", "list-unsubscribe", "list-unsubscribe-post",
    "list-subscribe", "list-post", "list-owner",       "list-archive"};

// The repetitions of one field that h= will name; more is nobody's honest mail, and h= must stay
// small.
constexpr std::size_t repetitions_max = 32;

bool is_wsp(char c) { return c == ' ' || c == '\t'; }

std::string_view field_name(std::string_view field) {
  const std::size_t colon = field.find(':');
  if (colon == std::string_view::npos) return {};
  return trim(field.substr(0, colon));
}

}  // namespace

std::string canonical_field(std::string_view field) {
  const bool ended = field.ends_with("\r\n");
  if (ended) field.remove_suffix(2);
  const std::size_t colon = field.find(':');
  std::string result = to_lower(trim(field.substr(0, colon)));
  if (colon != std::string_view::npos) {
    result += ':';
    const std::size_t value_at = result.size();
    bool space = false;
    for (const char c : field.substr(colon + 1)) {
      if (c == '\r' || c == '\n') continue;  // unfolding: the white space that follows stays
      if (is_wsp(c)) {
        space = true;
        continue;
      }
      if (space && result.size() > value_at) result += ' ';
      space = false;
      result += c;
    }
  }
  if (ended) result += "\r\n";
  return result;
}

Result<SignedFields> choose_signed_fields(std::span<const std::string_view> fields) {
  SignedFields chosen;
  const auto take = [&](std::string_view name) -> std::size_t {
    std::size_t found = 0;
    // RFC 6376 §5.4.2: repetitions are taken from the bottom up.
    for (std::size_t i = fields.size(); i-- > 0;) {
      if (!equals_ignoring_case(field_name(fields[i]), name)) continue;
      if (++found > repetitions_max) return found;
      chosen.names.emplace_back(name);
      chosen.fields.push_back(fields[i]);
    }
    return found;
  };
  const auto too_many = [](std::string_view name) {
    return fail(ErrorKind::invalid, "sign a message",
                "it has more than 32 fields named " + std::string(name));
  };
  for (const std::string_view name : oversigned_names) {
    const std::size_t found = take(name);
    if (found > repetitions_max) return too_many(name);
    if (found == 0 && name == "from") {
      return fail(ErrorKind::invalid, "sign a message", "it has no From field (RFC 6376 §5.4)");
    }
    chosen.names.emplace_back(name);  // the one that must not be added
  }
  for (const std::string_view name : signed_names) {
    if (take(name) > repetitions_max) return too_many(name);
  }
  return chosen;
}

}  // namespace postern::crypto
