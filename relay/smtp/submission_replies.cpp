// The server's words.
#include "relay/smtp/submission_replies.hpp"

#include <utility>

#include "relay/base/assert.hpp"

namespace postern::smtp {

Reply reply_of_step(SubmissionStep step) {
  switch (step) {
    case SubmissionStep::answer_noop:
      return make_reply(250, {2, 0, 0}, "ok");
    case SubmissionStep::answer_help:
      return make_reply(214, {2, 0, 0}, "mail submission with TLS and AUTH (RFC 6409)");
    case SubmissionStep::answer_vrfy:
      // RFC 5321 §7.3: the same for all, so that nobody learns who exists.
      return make_reply(252, {2, 5, 2}, "not verified; send the message and see");
    case SubmissionStep::want_tls:
      return make_reply(530, {5, 7, 0}, "Must issue a STARTTLS command first");
    case SubmissionStep::no_clear_auth:
      return make_reply(538, {5, 7, 11}, "encryption is required for authentication; use STARTTLS");
    case SubmissionStep::tls_already:
      return make_reply(503, {5, 5, 1}, "TLS is already in use");
    case SubmissionStep::want_ehlo:
      return make_reply(503, {5, 5, 1}, "send EHLO first");
    case SubmissionStep::want_auth:
      return make_reply(530, {5, 7, 0}, "authentication is required");
    case SubmissionStep::auth_already:
      return make_reply(503, {5, 5, 1}, "already authenticated");
    case SubmissionStep::nested_mail:
      return make_reply(503, {5, 5, 1}, "a transaction is open; send RSET to drop it");
    case SubmissionStep::want_mail:
      return make_reply(503, {5, 5, 1}, "send MAIL first");
    case SubmissionStep::want_recipient:
      return make_reply(503, {5, 5, 1}, "no recipient was accepted; send RCPT first");
    case SubmissionStep::not_offered:
    case SubmissionStep::close_on_bdat:
      return make_reply(502, {5, 5, 1}, "this command is not offered");
    case SubmissionStep::unknown_verb:
      return make_reply(500, {5, 5, 1}, "unknown command");
    case SubmissionStep::refuse_early:
      return make_reply(554, {5, 5, 0}, "octets came before the 354 to DATA; closing");
    default:
      break;  // steps that do something make their replies where they do it
  }
  POSTERN_ASSERT(false);
  return {};
}

Reply announce_extensions(const SubmissionSettings& settings, Announcement now) {
  Reply reply = make_reply(250, settings.hostname);
  auto& lines = reply.lines;
  lines.emplace_back("PIPELINING");                                       // RFC 2920
  lines.push_back("SIZE " + std::to_string(settings.message_bytes_max));  // RFC 1870
  lines.emplace_back("8BITMIME");                                         // RFC 6152
  lines.emplace_back("SMTPUTF8");                                         // RFC 6531
  lines.emplace_back("ENHANCEDSTATUSCODES");                              // RFC 2034
  lines.emplace_back("DSN");                                              // RFC 3461
  // RFC 9422 §4: a limit that is not named does not exist, and messages a connection are not
  // limited.
  lines.push_back("LIMITS RCPTMAX=" + std::to_string(settings.recipients_max));
  if (now.tls) lines.emplace_back("REQUIRETLS");  // RFC 8689 §2: only inside TLS
  if (!now.tls) lines.emplace_back("STARTTLS");   // RFC 3207
  if (now.tls && !now.authenticated) lines.emplace_back("AUTH PLAIN LOGIN");  // RFC 4954
  lines.emplace_back("HELP");
  return reply;
}

}  // namespace postern::smtp
