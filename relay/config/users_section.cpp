// [[user]]: the devices and programs that may submit, from the main file and from users.d/.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

// Parses each text of a list; one problem a bad item.
template <class Pattern>
std::vector<Pattern> parse_list(TableReader& table, std::string_view key, const TextList& texts) {
  std::vector<Pattern> parsed;
  for (const auto& text : texts) {
    auto pattern = Pattern::parse(text.value);
    if (pattern) {
      parsed.push_back(std::move(*pattern));
    } else {
      table.problem(text.place,
                    fmt::format("{} holds {}: {}", key, shown(text.value), pattern.error().detail));
    }
  }
  return parsed;
}

// senders and recipients must be said: an empty list never means everything.
std::vector<policy::AddressPattern> read_patterns(TableReader& table, std::string_view key) {
  if (!table.has(key)) table.missing(fmt::format("{} (\"*\" allows every address)", key));
  const auto texts = table.text_list(key);
  return texts ? parse_list<policy::AddressPattern>(table, key, *texts)
               : std::vector<policy::AddressPattern>();
}

std::optional<smtp::Mailbox> read_owner(TableReader& table) {
  const auto owner = table.text("owner");
  if (!owner) return std::nullopt;
  auto mailbox = smtp::parse_mailbox(owner->value, false);
  if (!mailbox) {
    table.problem(owner->place,
                  fmt::format("owner is {}; allowed is one address such as \"it@office.example\"",
                              shown(owner->value)));
  }
  return mailbox;
}

std::optional<std::uint64_t> read_rate(TableReader& table, std::string_view key,
                                       std::uint64_t largest) {
  const auto value = table.integer(key, 1, largest);
  return value ? std::optional(value->value) : std::nullopt;
}

std::optional<crypto::PasswordVerifier> read_verifier(TableReader& table) {
  const auto text = table.required_text("password");
  if (!text) return std::nullopt;
  auto verifier = crypto::PasswordVerifier::parse(text->value);
  if (verifier) return std::move(*verifier);
  // The value itself is never shown: people write plain passwords here.
  table.problem(text->place,
                fmt::format("password is no verifier: {}; allowed are \"argon2id:…\" and "
                            "\"scram-sha-256:…\"",
                            verifier.error().detail));
  return std::nullopt;
}

// The name, entered into the directory of names; nothing when it is bad or taken.
std::optional<std::string> read_name(TableReader& table, LoadContext& context) {
  const auto name = table.required_text("name");
  if (!name) return std::nullopt;
  if (name->value.size() > user_name_bytes_max || name->value == "*") {
    table.problem(name->place,
                  fmt::format("name is {}; allowed are 1 to {} octets of text, not \"*\"",
                              shown(name->value), user_name_bytes_max));
    return std::nullopt;
  }
  const auto [other, fresh] = context.user_places.emplace(name->value, name->place);
  if (!fresh) {
    table.problem(name->place, fmt::format("user {} is there already, at {}; take one of them away",
                                           shown(name->value), other->second.text()));
    return std::nullopt;
  }
  return name->value;
}

void read_user(TableReader& table, LoadContext& context) {
  static constexpr std::array<std::string_view, 2> newline_choices = {"reject", "normalize"};
  const auto name = read_name(table, context);
  auto verifier = read_verifier(table);
  auto senders = read_patterns(table, "senders");
  auto recipients = read_patterns(table, "recipients");
  std::vector<policy::AddressBlock> addresses;
  if (const auto texts = table.text_list("addresses")) {
    addresses = parse_list<policy::AddressBlock>(table, "addresses", *texts);
  }
  auto owner = read_owner(table);
  policy::RateSettings rates;
  rates.messages_per_minute_max =
      read_rate(table, "messages_per_minute_max", messages_per_minute_largest);
  rates.recipients_per_day_max =
      read_rate(table, "recipients_per_day_max", recipients_per_day_largest);
  rates.bytes_per_day_max = read_rate(table, "bytes_per_day_max", bytes_per_day_largest);
  const auto newline = table.choice("bare_newline", newline_choices);
  table.finish();
  if (!name || !verifier) return;
  context.into.users.emplace(
      *name, policy::User{*name, std::move(*verifier), std::move(senders), std::move(recipients),
                          std::move(addresses), std::move(owner), rates,
                          newline && newline->value == 1 ? smtp::BareNewline::normalize
                                                         : smtp::BareNewline::reject});
}

}  // namespace

void read_users(TableReader& root, LoadContext& context) {
  for (TableReader& table : root.tables("user", users_max)) {
    if (context.user_places.size() >= users_max) {
      table.problem(table.place(), fmt::format("this is one user more than {}", users_max));
      return;
    }
    read_user(table, context);
  }
}

}  // namespace postern::config
