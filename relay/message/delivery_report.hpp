// Delivery status notifications: the mail that tells a person why another mail did not arrive.
//
// Promise: multipart/report with text a person understands, message/delivery-status (RFC 3464) and
// the original header or message (RFC 3462, RFC 6533 when UTF-8 is needed); From our postmaster
// name, envelope sender "<>", Auto-Submitted: auto-replied (RFC 3834 §5). Peer text is quoted
// inside bounds. Sharp edge: the caller decides WHETHER one is sent (never for a message from "<>",
// never with NOTIFY=NEVER); this code only writes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay/base/clock.hpp"

namespace postern::message {

// damaged: it cannot be read back from our own disk; for machines it is failed.
enum class ReportAction { failed, delayed, relayed, expired, damaged };

struct ReportedRecipient {
  std::string address;
  std::optional<std::string> original_recipient;  // "rfc822;…"
  ReportAction action = ReportAction::failed;
  std::string status;      // "5.1.1"
  std::string diagnostic;  // the upstream's reply as text, or our own sentence; may be empty
  std::string remote_mta;  // "smtp.provider.example", may be empty
  std::optional<WallTime> will_retry_until;
  WallTime last_attempt;
};

struct ReportFacts {
  std::string reporting_mta;  // our hostname
  std::string to;             // who is told
  std::string postmaster;     // named as the person to ask
  std::string queue_id;
  std::string message_id;      // of the report itself, without <>
  std::string boundary_token;  // random hexadecimal
  std::optional<std::string> envelope_id;
  std::string user_name;  // the device that submitted it
  WallTime arrival;
  WallTime now;
  // Whole CRLF lines. Only the header goes back, also with RET=FULL: a report must arrive where the
  // scan itself was perhaps too large (less than RFC 3461 §4.3 asks for; relay/README.md).
  std::string original_header;
  std::vector<ReportedRecipient> recipients;
};

struct Report {
  std::string
      header;  // fields only, whole CRLF lines (the caller adds Received-free DKIM signatures)
  std::string body;  // CRLF lines
  // To or From is an international address: SMTPUTF8 is needed and the RFC 6533 types are used.
  // Otherwise the report is ASCII and goes through everywhere, also when the lack of SMTPUTF8 is
  // what it reports.
  bool needs_utf8 = false;
};

[[nodiscard]] Report write_report(const ReportFacts& facts);

// What a recipient takes in a report at most, in octets, so that a caller can keep reports small.
[[nodiscard]] std::size_t reported_bytes_max(const ReportedRecipient& recipient);

}  // namespace postern::message
