// Writes envelopes as the words of MAIL and RCPT and reads them back with the parser of those
// commands.
//
// Promise: addresses are read by the mailbox grammar alone and parameters behind a stand-in path,
// so that no octet of a stored address can become a parameter, nor the other way round. Sharp edge:
// a recipient may be an address literal here though a client cannot name one: a report goes back to
// whatever a reverse-path was.
#include "relay/queue/envelope_codec.hpp"

#include <string>
#include <utility>

#include "relay/smtp/delivery_commands.hpp"
#include "relay/smtp/envelope_parameters.hpp"

namespace postern::queue {
namespace {

// The longest parameters the grammar makes have about 540 octets (ORCPT's 500 and NOTIFY).
constexpr std::size_t parameters_bytes_max = 1024;
// Shown of a text that is damaged; the rest would not help anybody.
constexpr std::size_t quoted_bytes_max = 128;

std::unexpected<Error> corrupt(std::string_view what, std::string_view text, std::string detail) {
  std::string shown(text.substr(0, quoted_bytes_max));
  if (text.size() > quoted_bytes_max) shown += "...";
  return fail(ErrorKind::corrupt, "read " + std::string(what) + " \"" + shown + "\" from the queue",
              std::move(detail));
}

void add_parameter(std::string& parameters, std::string_view parameter) {
  if (!parameters.empty()) parameters += ' ';
  parameters += parameter;
}

std::string notify_words(const smtp::NotifyWishes& notify) {
  if (notify.never) return "NEVER";
  std::string words;
  const auto add = [&words](bool wished, std::string_view word) {
    if (!wished) return;
    if (!words.empty()) words += ',';
    words += word;
  };
  add(notify.success, "SUCCESS");
  add(notify.failure, "FAILURE");
  add(notify.delay, "DELAY");
  return words;
}

// "rfc822;anna@far.example" as ORCPT carries it. Octets beyond ASCII stay as they are (RFC 6533
// §3): as xtext they would take three octets each and could outgrow the parser's bound.
std::string original_recipient_words(std::string_view original) {
  const std::size_t semicolon = original.find(';');
  if (semicolon == std::string_view::npos) return {};
  std::string words(original.substr(0, semicolon + 1));
  for (const char& c : original.substr(semicolon + 1)) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      words += c;
    } else {
      words += smtp::encode_xtext(std::string_view(&c, 1));
    }
  }
  return words;
}

}  // namespace

storage::StoredSender to_stored(const smtp::Sender& sender) {
  storage::StoredSender stored;
  stored.reverse_path = sender.reverse_path.text();
  std::string& parameters = stored.parameters;
  if (sender.declared_bytes) {
    add_parameter(parameters, "SIZE=" + std::to_string(*sender.declared_bytes));
  }
  if (sender.body == smtp::BodyType::eight_bit_mime) add_parameter(parameters, "BODY=8BITMIME");
  if (sender.smtputf8) add_parameter(parameters, "SMTPUTF8");
  if (sender.require_tls) add_parameter(parameters, "REQUIRETLS");
  if (sender.dsn_return) {
    const bool full = *sender.dsn_return == smtp::DsnReturn::full;
    add_parameter(parameters, full ? "RET=FULL" : "RET=HDRS");
  }
  if (sender.envelope_id) {
    add_parameter(parameters, "ENVID=" + smtp::encode_xtext(*sender.envelope_id));
  }
  return stored;
}

std::vector<storage::StoredRecipient> to_stored(const std::vector<smtp::Recipient>& recipients) {
  std::vector<storage::StoredRecipient> stored;
  stored.reserve(recipients.size());
  for (const smtp::Recipient& recipient : recipients) {
    storage::StoredRecipient& entry = stored.emplace_back();
    entry.index = static_cast<std::int64_t>(stored.size()) - 1;
    entry.address = recipient.mailbox.text();
    const std::string notify =
        recipient.notify.given ? notify_words(recipient.notify) : std::string();
    if (!notify.empty()) add_parameter(entry.parameters, "NOTIFY=" + notify);
    if (!recipient.original_recipient) continue;
    const std::string original = original_recipient_words(*recipient.original_recipient);
    if (!original.empty()) add_parameter(entry.parameters, "ORCPT=" + original);
  }
  return stored;
}

Result<smtp::Sender> from_stored(const storage::StoredSender& stored) {
  if (stored.parameters.size() > parameters_bytes_max) {
    return corrupt("the sender's parameters", stored.parameters, "they are too long");
  }
  auto sender = smtp::parse_mail_arguments("FROM:<> " + stored.parameters);
  if (!sender) {
    return corrupt("the sender's parameters", stored.parameters, sender.error().text());
  }
  if (stored.reverse_path.empty()) return std::move(*sender);
  sender->reverse_path.mailbox = smtp::parse_mailbox(stored.reverse_path, true);
  if (!sender->reverse_path.mailbox) {
    return corrupt("the reverse-path", stored.reverse_path, "it is no mail address");
  }
  // RFC 6531 §3.4: MAIL refuses such an address without the parameter.
  if (sender->reverse_path.mailbox->needs_smtputf8() && !sender->smtputf8) {
    return corrupt("the reverse-path", stored.reverse_path,
                   "it is not ASCII and SMTPUTF8 is not set");
  }
  return std::move(*sender);
}

Result<smtp::Recipient> from_stored(const storage::StoredRecipient& stored) {
  if (stored.parameters.size() > parameters_bytes_max) {
    return corrupt("a recipient's parameters", stored.parameters, "they are too long");
  }
  auto recipient = smtp::parse_rcpt_arguments("TO:<stand-in@invalid> " + stored.parameters);
  if (!recipient) {
    return corrupt("a recipient's parameters", stored.parameters, recipient.error().text());
  }
  auto mailbox = smtp::parse_mailbox(stored.address, true);
  if (!mailbox) return corrupt("a recipient", stored.address, "it is no mail address");
  recipient->mailbox = std::move(*mailbox);
  return std::move(*recipient);
}

}  // namespace postern::queue
