// Answers what a user may do: connect from an address, send as, send to, and write in the header
// From.
//
// Promise: a refusal is one sentence that a person at a device can pass on: who was refused, which
// address, and which setting of the relay's configuration to change (RFC 6409 §6.1: 550 5.7.1).
#include "relay/policy/user.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace postern::policy {
namespace {

// Names and addresses are cut in a reply, so that the advice at its end still fits into the 512
// octets of a reply line (RFC 5321 §4.5.3.1.5).
constexpr std::size_t quoted_bytes_max = 128;

std::string shown(std::string_view text) {
  if (text.size() <= quoted_bytes_max) return std::string(text);
  return std::string(text.substr(0, quoted_bytes_max)) + "...";
}

smtp::Reply refuse(const User& user, const std::string& rest) {
  return smtp::make_reply(550, smtp::EnhancedStatus{5, 7, 1},
                          "user " + shown(user.name) + " " + rest);
}

}  // namespace

bool same_credential_and_rights(const User& before, const User& now) {
  const auto same = [](const auto& one, const auto& other) {
    return std::ranges::equal(
        one, other, {}, [](const auto& each) { return each.text(); },
        [](const auto& each) { return each.text(); });
  };
  return before.password.text() == now.password.text() && same(before.senders, now.senders) &&
         same(before.recipients, now.recipients) && same(before.addresses, now.addresses) &&
         before.bare_newline == now.bare_newline;
}

bool may_connect_from(const User& user, const IpAddress& address) {
  if (user.addresses.empty()) return true;
  return std::ranges::any_of(user.addresses,
                             [&](const AddressBlock& block) { return block.contains(address); });
}

std::optional<smtp::Reply> check_sender(const User& user, const smtp::ReversePath& sender) {
  if (sender.is_null()) {
    return refuse(user,
                  "may not send with the null reverse-path <>; set the device's sender address to "
                  "one of the user's senders");
  }
  if (any_matches(user.senders, *sender.mailbox)) return std::nullopt;
  return refuse(user, "may not send as " + shown(sender.mailbox->text()) +
                          "; add the address to senders in the relay's configuration");
}

std::optional<smtp::Reply> check_recipient(const User& user, const smtp::Mailbox& recipient) {
  if (any_matches(user.recipients, recipient)) return std::nullopt;
  return refuse(user, "may not send to " + shown(recipient.text()) +
                          "; add the address to recipients in the relay's configuration");
}

std::optional<smtp::Reply> check_author_field(
    const User& user, std::string_view field_name,
    const std::optional<std::vector<std::string>>& addresses) {
  const std::string field = std::string(field_name) + " field";
  if (!addresses || addresses->empty()) {
    return refuse(user, "sent a message whose " + field +
                            " holds no address that can be understood; set the device's sender "
                            "address to a full mail address");
  }
  for (const std::string& address : *addresses) {
    const auto mailbox = smtp::parse_mailbox(address, true);
    if (!mailbox) {
      return refuse(user, "may not send with " + shown(address) + " in the " + field +
                              ", which is no mail address; set the device's sender address to a "
                              "full mail address");
    }
    if (any_matches(user.senders, *mailbox)) continue;
    return refuse(user, "may not send with " + shown(mailbox->text()) + " in the " + field +
                            "; add the address to senders in the relay's configuration");
  }
  return std::nullopt;
}

}  // namespace postern::policy
