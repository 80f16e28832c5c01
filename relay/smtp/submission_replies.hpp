// The fixed replies of the server, apart from the code that decides when to give them.
//
// Promise: a reply tells the person at the device what to change. Every reply but the banner, the
// answers to EHLO and HELO, 334 and 354 has an enhanced status code (RFC 2034 §4).
#pragma once

#include "relay/smtp/reply.hpp"
#include "relay/smtp/submission_session.hpp"
#include "relay/smtp/submission_states.hpp"

namespace postern::smtp {

// The reply of a step that only answers: refusals, NOOP, HELP, VRFY.
[[nodiscard]] Reply reply_of_step(SubmissionStep step);

struct Announcement {
  bool tls = false;
  bool authenticated = false;
};
// The answer to EHLO with what is offered now.
[[nodiscard]] Reply announce_extensions(const SubmissionSettings& settings, Announcement now);

}  // namespace postern::smtp
