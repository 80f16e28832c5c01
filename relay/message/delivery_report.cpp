// Writes delivery status notifications (RFC 3464, RFC 6522, RFC 6533). Promise: see
// delivery_report.hpp.
#include "relay/message/delivery_report.hpp"

#include <algorithm>

#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"
#include "relay/message/report_text.hpp"
#include "relay/message/report_words.hpp"

namespace postern::message {
namespace {

constexpr std::size_t line_bytes_max = 998;           // RFC 5322 §2.1.1
constexpr std::size_t boundary_token_bytes_max = 48;  // RFC 2046 §5.1.1: 70 with our prefix

bool is_failure(const ReportedRecipient& recipient) {
  return recipient.action != ReportAction::delayed && recipient.action != ReportAction::relayed;
}

// What the whole report says first: a failure is worse than a delay, a delay worse than good news.
ReportAction gravest(const ReportFacts& facts) {
  ReportAction found = ReportAction::relayed;
  for (const auto& recipient : facts.recipients) {
    if (is_failure(recipient)) return ReportAction::failed;
    if (recipient.action == ReportAction::delayed) found = ReportAction::delayed;
  }
  return found;
}

std::string_view subject(ReportAction action) {
  switch (action) {
    case ReportAction::delayed:
      return "Your mail is delayed";
    case ReportAction::relayed:
      return "Your mail was handed on";
    default:
      return "Your mail could not be delivered";
  }
}

std::string_view outcome_words(ReportAction action) {
  switch (action) {
    case ReportAction::delayed:
      return "has not been delivered yet:";
    case ReportAction::relayed:
      return "was handed on to the next mail server:";
    default:
      return "could not be delivered:";
  }
}

// --- The part for people.

std::string recipient_text(const ReportedRecipient& recipient) {
  const StatusWords words = words_for(recipient.action, recipient.status);
  std::string text = "  To: " + clean_text(recipient.address) + "\r\n";
  text += wrap("The mail " + std::string(outcome_words(recipient.action)), "    ");
  text += wrap(words.meaning, "    ");
  text += wrap("What to do: " + std::string(words.advice), "    ");
  if (recipient.action == ReportAction::delayed && recipient.will_retry_until) {
    text += wrap("It is tried again until " + format_mail_date(*recipient.will_retry_until) + ".",
                 "    ");
  }
  if (!recipient.diagnostic.empty()) {
    std::string origin = "Technical reason: ";
    if (!recipient.remote_mta.empty()) {
      origin = "Technical reason, from " + clean_text(recipient.remote_mta) + ": ";
    }
    text += wrap(origin + clean_text(recipient.diagnostic), "    ");
  }
  return text + "\r\n";
}

std::string text_for_people(const ReportFacts& facts) {
  std::string sender =
      facts.user_name.empty() ? std::string() : " by \"" + clean_text(facts.user_name) + "\"";
  std::string text = wrap("This is the mail relay " + clean_text(facts.reporting_mta) + ".", "");
  text += wrap("It writes about a mail that was handed to it" + sender + " on " +
                   format_mail_date(facts.arrival) + ".",
               "");
  text += "\r\n";
  for (const auto& recipient : facts.recipients) text += recipient_text(recipient);
  text += wrap("Questions? Ask " + clean_text(facts.postmaster) + " and name the number " +
                   clean_text(facts.queue_id) + ".",
               "");
  text += "\r\n";
  text += wrap(
      "This notice was written by a machine. Technical details for administrators and the "
      "beginning of the mail follow as attachments.",
      "");
  return text;
}

// --- The part for machines.

std::string_view action_keyword(ReportAction action) {  // RFC 3464 §2.3.3
  switch (action) {
    case ReportAction::delayed:
      return "delayed";
    case ReportAction::relayed:
      return "relayed";
    default:
      return "failed";
  }
}

// "d.ddd.ddd" of RFC 3464 §2.3.4; what is none becomes the action's general code.
std::string status_code(const ReportedRecipient& recipient) {
  const std::string& status = recipient.status;
  const auto dots = std::ranges::count(status, '.');
  const bool well_formed =
      status.size() >= 5 && status.size() <= 9 && dots == 2 && status[1] == '.' &&
      (status[0] == '2' || status[0] == '4' || status[0] == '5') && is_digit(status.back()) &&
      !status.contains("..") &&
      std::ranges::all_of(status, [](char c) { return is_digit(c) || c == '.'; });
  if (well_formed) return status;
  if (recipient.action == ReportAction::relayed) return "2.0.0";
  return recipient.action == ReportAction::delayed ? "4.0.0" : "5.0.0";
}

// "rfc822; anna@far.example" or, where it is needed, the type of RFC 6533 §3.
std::string typed_address(std::string_view address, bool utf8) {
  if (is_ascii(address)) return "rfc822; " + clean_text(address);
  if (utf8) return "utf-8; " + clean_text(address);
  return "utf-8; " + (is_valid_utf8(address) ? encode_utf8_address(address) : clean_ascii(address));
}

// "rfc822;anna@far.example" as ORCPT said it.
std::string original_address(std::string_view original, bool utf8) {
  const std::size_t semicolon = original.find(';');
  if (semicolon == std::string_view::npos) return typed_address(original, utf8);
  const std::string_view address = trim(original.substr(semicolon + 1));
  if (!is_ascii(address)) return typed_address(address, utf8);
  return clean_ascii(original.substr(0, semicolon)) + "; " + clean_ascii(address);
}

std::string diagnostic_code(const std::string& diagnostic, bool utf8) {
  const bool smtp = diagnostic.size() >= 3 && is_digit(diagnostic[0]) && is_digit(diagnostic[1]) &&
                    is_digit(diagnostic[2]);
  return (smtp ? "smtp; " : "x-postern; ") +
         (utf8 ? clean_text(diagnostic) : clean_ascii(diagnostic));
}

std::string recipient_fields(const ReportedRecipient& recipient, bool utf8) {
  std::string fields = "\r\n";
  if (recipient.original_recipient) {
    fields +=
        folded_field("Original-Recipient", original_address(*recipient.original_recipient, utf8));
  }
  fields += folded_field("Final-Recipient", typed_address(recipient.address, utf8));
  fields += folded_field("Action", action_keyword(recipient.action));
  fields += folded_field("Status", status_code(recipient));
  if (!recipient.remote_mta.empty()) {
    fields += folded_field("Remote-MTA", "dns; " + clean_ascii(recipient.remote_mta));
  }
  if (!recipient.diagnostic.empty()) {
    fields += folded_field("Diagnostic-Code", diagnostic_code(recipient.diagnostic, utf8));
  }
  fields += folded_field("Last-Attempt-Date", format_mail_date(recipient.last_attempt));
  if (recipient.action == ReportAction::delayed && recipient.will_retry_until) {
    fields += folded_field("Will-Retry-Until", format_mail_date(*recipient.will_retry_until));
  }
  return fields;
}

std::string status_fields(const ReportFacts& facts, bool utf8) {
  std::string fields;
  if (facts.envelope_id) {
    fields += folded_field("Original-Envelope-Id", clean_ascii(*facts.envelope_id));
  }
  fields += folded_field("Reporting-MTA", "dns; " + clean_ascii(facts.reporting_mta));
  fields += folded_field("Arrival-Date", format_mail_date(facts.arrival));
  fields += folded_field("X-Postern-Queue-Id", clean_ascii(facts.queue_id));
  for (const auto& recipient : facts.recipients) fields += recipient_fields(recipient, utf8);
  return fields;
}

// --- The parts put together.

bool has_long_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find("\r\n");
    if (std::min(end, text.size()) > line_bytes_max) return true;
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 2);
  }
  return false;
}

struct Part {
  std::string fields;
  std::string content;
};

Part text_part(const std::string& text) {
  if (is_ascii(text) && !has_long_line(text)) {
    return {"Content-Type: text/plain; charset=us-ascii\r\n", text};
  }
  return {
      "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
      encode_quoted_printable(text)};
}

Part status_part(const ReportFacts& facts, bool utf8) {
  std::string content = status_fields(facts, utf8);
  if (!utf8) return {"Content-Type: message/delivery-status\r\n", std::move(content)};
  return {"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
          std::move(content)};
}

Part original_part(const ReportFacts& facts, bool utf8) {
  const std::string& original = facts.original_header;
  const bool eight_bit = !is_ascii(original);
  if (!eight_bit && !has_long_line(original)) {
    return {"Content-Type: text/rfc822-headers\r\n", original};
  }
  if (utf8 && is_valid_utf8(original) && !has_long_line(original)) {
    return {"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n",
            original};
  }
  const std::string charset = is_valid_utf8(original) ? "utf-8" : "unknown-8bit";  // RFC 1428
  return {"Content-Type: text/rfc822-headers; charset=" + charset +
              "\r\nContent-Transfer-Encoding: quoted-printable\r\n",
          encode_quoted_printable(original)};
}

// A boundary that no part holds: the token is random, but a test vector, a weak source or a peer
// that reads it in an earlier report must not be able to break the structure either (RFC 2046
// §5.1.1).
std::string choose_boundary(std::string_view token, const std::vector<Part>& parts) {
  std::string boundary = "postern-";
  for (const char c : token.substr(0, boundary_token_bytes_max)) {
    if (is_letter(c) || is_digit(c)) boundary += c;
  }
  const std::string stem = boundary + "-";
  for (unsigned attempt = 0;; ++attempt) {
    const bool taken = std::ranges::any_of(
        parts, [&](const Part& part) { return part.content.contains("--" + boundary); });
    if (!taken) return boundary;
    boundary = stem + std::to_string(attempt);
  }
}

}  // namespace

std::size_t reported_bytes_max(const ReportedRecipient& recipient) {
  const auto shown = [](std::size_t octets) { return std::min(octets, quoted_text_bytes_max); };
  const std::size_t words = shown(recipient.address.size()) + shown(recipient.diagnostic.size()) +
                            shown(recipient.remote_mta.size());
  // The part for people is encoded where an octet of it is not ASCII, three for one (RFC 2045
  // §6.7); in the part for machines an address grows at most so, and lines are folded.
  constexpr std::size_t encoded = 3;
  constexpr std::size_t fixed_words = 1'600;
  return encoded * words + encoded * recipient.address.size() +
         (recipient.original_recipient ? encoded * recipient.original_recipient->size() : 0) +
         2 * words + fixed_words;
}

Report write_report(const ReportFacts& facts) {
  Report report;
  report.needs_utf8 = !is_ascii(facts.to) || !is_ascii(facts.postmaster);
  const bool utf8 = report.needs_utf8;
  std::vector<Part> parts;
  parts.push_back(text_part(text_for_people(facts)));
  parts.push_back(status_part(facts, utf8));
  parts.push_back(original_part(facts, utf8));
  const std::string boundary = choose_boundary(facts.boundary_token, parts);

  report.header =
      folded_field("From", "Mail Delivery System <" + clean_text(facts.postmaster) + ">") +
      folded_field("To", "<" + clean_text(facts.to) + ">") +
      folded_field("Subject", subject(gravest(facts))) +
      folded_field("Date", format_mail_date(facts.now)) +
      folded_field("Message-ID", "<" + clean_ascii(facts.message_id) + ">") +
      "Auto-Submitted: auto-replied\r\n"  // RFC 3834 §5: no program shall answer this
      "MIME-Version: 1.0\r\n"
      "Content-Type: multipart/report; report-type=" +
      std::string(utf8 ? "global-delivery-status" : "delivery-status") + ";\r\n boundary=\"" +
      boundary + "\"\r\n";
  const bool eight_bit =
      std::ranges::any_of(parts, [](const Part& part) { return !is_ascii(part.content); });
  if (eight_bit) report.header += "Content-Transfer-Encoding: 8bit\r\n";  // RFC 2045 §6.4

  for (const Part& part : parts) {
    report.body += "--" + boundary + "\r\n" + part.fields + "\r\n" + part.content;
    if (!part.content.ends_with("\r\n")) report.body += "\r\n";
    report.body += "\r\n";
  }
  report.body += "--" + boundary + "--\r\n";
  return report;
}

}  // namespace postern::message
