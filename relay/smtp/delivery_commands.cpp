// Builds MAIL and RCPT. Promise and sharp edge: see delivery_commands.hpp.
#include "relay/smtp/delivery_commands.hpp"

#include <algorithm>

#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"
#include "relay/smtp/envelope_parameters.hpp"

namespace postern::smtp {
namespace {

std::string notify_parameter(const NotifyWishes& wishes) {
  if (!wishes.given) return {};
  if (wishes.never) return " NOTIFY=NEVER";
  std::string list;
  if (wishes.success) list += ",SUCCESS";
  if (wishes.failure) list += ",FAILURE";
  if (wishes.delay) list += ",DELAY";
  return list.empty() ? std::string() : " NOTIFY=" + list.substr(1);
}

// "rfc822;anna@far.example": the type stays, the address is encoded (RFC 3461 §4.2, RFC 6533 §3).
std::string original_recipient_parameter(std::string_view original) {
  const std::size_t semicolon = original.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0 || !is_valid_utf8(original)) return {};
  const std::string_view address = original.substr(semicolon + 1);
  const std::string value =
      encode_xtext(original.substr(0, semicolon)) + ";" +
      (is_ascii(address) ? encode_xtext(address) : encode_utf8_address(address));
  return value.size() > original_recipient_bytes_max ? std::string() : " ORCPT=" + value;
}

}  // namespace

std::string encode_xtext(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (c >= '!' && c <= '~' && c != '+' && c != '=') {
      encoded += c;
    } else {
      encoded += '+';
      encoded += digits[octet >> 4U];
      encoded += digits[octet & 0x0FU];
    }
  }
  return encoded;
}

std::string mail_command(const Sender& sender, std::uint64_t content_bytes,
                         const DeliveryCapabilities& upstream, bool utf8) {
  std::string line = "MAIL FROM:<" + sender.reverse_path.text() + ">";
  if (upstream.size) line += " SIZE=" + std::to_string(content_bytes);
  if (upstream.eight_bit_mime && sender.body == BodyType::eight_bit_mime) line += " BODY=8BITMIME";
  if (upstream.smtputf8 && utf8) line += " SMTPUTF8";
  if (upstream.require_tls && sender.require_tls) line += " REQUIRETLS";
  if (upstream.dsn) {
    if (sender.dsn_return) {
      line += *sender.dsn_return == DsnReturn::full ? " RET=FULL" : " RET=HDRS";
    }
    if (sender.envelope_id && !sender.envelope_id->empty()) {
      const std::string id = encode_xtext(*sender.envelope_id);
      if (id.size() <= envelope_id_bytes_max) line += " ENVID=" + id;
    }
  }
  return line + "\r\n";
}

std::string rcpt_command(const Recipient& recipient, const DeliveryCapabilities& upstream) {
  std::string line = "RCPT TO:<" + recipient.mailbox.text() + ">";
  if (upstream.dsn) {
    line += notify_parameter(recipient.notify);
    if (recipient.original_recipient) {
      line += original_recipient_parameter(*recipient.original_recipient);
    }
  }
  return line + "\r\n";
}

bool needs_smtputf8(const Envelope& envelope) {
  const auto& sender = envelope.sender;
  return sender.smtputf8 ||
         (sender.reverse_path.mailbox && sender.reverse_path.mailbox->needs_smtputf8()) ||
         std::ranges::any_of(envelope.recipients, [](const Recipient& recipient) {
           return recipient.mailbox.needs_smtputf8();
         });
}

std::optional<Reply> missing_extension(const Envelope& envelope, std::uint64_t content_bytes,
                                       const DeliveryCapabilities& upstream) {
  if (needs_smtputf8(envelope) && !upstream.smtputf8) {  // RFC 6531 §3.4, §4.4.1
    return make_reply(550, {5, 6, 7},
                      "the message has international addresses, which the next mail server does "
                      "not support (no SMTPUTF8)");
  }
  if (envelope.sender.require_tls && !upstream.require_tls) {  // RFC 8689 §4.2.1
    return make_reply(550, {5, 7, 30},
                      "the sender asked for REQUIRETLS, which the next mail server does not "
                      "support");
  }
  if (upstream.message_bytes_max && content_bytes > *upstream.message_bytes_max) {  // RFC 1870 §5
    return make_reply(552, {5, 3, 4},
                      "the message has " + std::to_string(content_bytes) +
                          " octets; the next mail server takes at most " +
                          std::to_string(*upstream.message_bytes_max));
  }
  // The grammar lets no such address in; were one to come out of a damaged queue, it must not
  // become a second command.
  const bool unsafe = holds_control(envelope.sender.reverse_path.text()) ||
                      std::ranges::any_of(envelope.recipients, [](const Recipient& recipient) {
                        return holds_control(recipient.mailbox.text());
                      });
  if (unsafe) return make_reply(553, {5, 1, 3}, "an address holds a control character");
  return std::nullopt;
}

}  // namespace postern::smtp
