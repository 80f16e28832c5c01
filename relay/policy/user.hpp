// A user (a device or a program) and what it may do: sender rights, recipient rights, where it
// connects from.
//
// Promise: pure questions with an answer that is a reply; the words name the address and what to
// change, the enhanced status codes are RFC 6409 §6's (5.7.1). An empty list never means
// "everything": senders and recipients must be given ("*" says so), addresses left out means
// anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "crypto/password.hpp"
#include "relay/policy/patterns.hpp"
#include "relay/smtp/reply.hpp"
#include "relay/smtp/submission_session.hpp"

namespace postern::policy {

struct RateSettings {  // nothing: no limit
  std::optional<std::uint64_t> messages_per_minute_max = {};
  std::optional<std::uint64_t> recipients_per_day_max = {};
  std::optional<std::uint64_t> bytes_per_day_max = {};
};

struct User {
  std::string name;
  crypto::PasswordVerifier password;
  std::vector<AddressPattern> senders;
  std::vector<AddressPattern> recipients;
  std::vector<AddressBlock> addresses;  // empty: anywhere
  std::optional<smtp::Mailbox> owner;
  RateSettings rates;
  smtp::BareNewline bare_newline = smtp::BareNewline::reject;
};

// By name; names are compared exactly. Transparent lookup by string_view.
using UserDirectory = std::map<std::string, User, std::less<>>;

// Whether a session that began as `before` may go on under `now`: the same credential, and the same
// rights. Rates and the owner are asked for anew at each message, so they may differ.
[[nodiscard]] bool same_credential_and_rights(const User& before, const User& now);
[[nodiscard]] bool may_connect_from(const User& user, const IpAddress& address);
// Nothing: yes. The null reverse-path is refused with 5.7.1: a device has no bounces to send.
[[nodiscard]] std::optional<smtp::Reply> check_sender(const User& user,
                                                      const smtp::ReversePath& sender);
[[nodiscard]] std::optional<smtp::Reply> check_recipient(const User& user,
                                                         const smtp::Mailbox& recipient);
// A header field that names the author, `field_name` being "From" or "Sender": every mailbox must
// be among the user's senders; `addresses` is what message::addresses_in() found, nothing when the
// field cannot be understood.
[[nodiscard]] std::optional<smtp::Reply> check_author_field(
    const User& user, std::string_view field_name,
    const std::optional<std::vector<std::string>>& addresses);

}  // namespace postern::policy
