// The whole server machine as one table: in which state does which verb lead to which step.
//
// Promise: SubmissionSession looks here before it does anything with a line; every cell is filled
// (checked at compile time), walked by a test and printed by submission_states_diagram(). Sharp
// edge: states in which no command is read (an answer is awaited, octets are content) have a row of
// one step throughout.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "relay/smtp/command.hpp"

namespace postern::smtp {

enum class SubmissionState : std::uint8_t {
  banner,               // before start()
  clear,                // no TLS yet: next to nothing is allowed
  handshake,            // 220 to STARTTLS; octets that reach us now came in clear
  secure,               // TLS, no EHLO in it yet
  greeted,              // EHLO in TLS: AUTH is possible
  auth_response,        // 334 went out; the next line is no command
  checking_credential,  // the driver answers
  authenticated,        // between transactions
  checking_sender,      // the driver answers
  sender_given,         // a transaction without recipients
  checking_recipient,   // the driver answers
  recipients_given,     // DATA is possible
  opening_content,      // DATA came; octets before our 354 are an attack or a broken client
  content,              // octets are the message
  committing,           // the dot came; the driver answers
  closed,
};
inline constexpr std::size_t submission_state_count = 16;
inline constexpr std::array<std::string_view, submission_state_count> submission_state_names = {
    "banner",          "clear",         "handshake",           "secure",
    "greeted",         "auth_response", "checking_credential", "authenticated",
    "checking_sender", "sender_given",  "checking_recipient",  "recipients_given",
    "opening_content", "content",       "committing",          "closed"};

enum class SubmissionStep : std::uint8_t {
  missing,  // only to find holes in the table
  // Something is done:
  greet_ehlo,
  greet_helo,
  start_tls,
  authenticate,
  open_transaction,
  add_recipient,
  open_content,
  reset,
  answer_noop,
  answer_help,
  answer_vrfy,
  quit,
  // Refused, and the reply says what to do first:
  want_tls,        // 530 5.7.0
  no_clear_auth,   // 538 5.7.11
  tls_already,     // 503
  want_ehlo,       // 503
  want_auth,       // 530 5.7.0
  auth_already,    // 503
  nested_mail,     // 503
  want_mail,       // 503
  want_recipient,  // 503
  not_offered,     // 502
  unknown_verb,    // 500
  close_on_bdat,   // 502, and its payload is never read
  close_on_http,   // no reply: a browser is no peer
  // No command is read here:
  wait,              // nothing is consumed until the driver has answered
  throw_away,        // consumed unread (RFC 3207 §4.2)
  take_as_response,  // the line belongs to the AUTH exchange
  take_as_content,   // the octets belong to the message
  refuse_early,      // 554 and close (RFC 2920 §3.1)
};
inline constexpr std::size_t submission_step_count = 31;
inline constexpr std::array<std::string_view, submission_step_count> submission_step_names = {
    "MISSING",   "ehlo",       "helo",     "tls",       "auth",       "open",       "add",
    "content",   "reset",      "noop",     "help",      "vrfy",       "quit",       "530 tls",
    "538 clear", "503 tls on", "503 ehlo", "530 auth",  "503 authed", "503 nested", "503 mail",
    "503 rcpt",  "502",        "500",      "502 close", "close",      "wait",       "throw away",
    "response",  "octets",     "554 close"};

using SubmissionRow = std::array<SubmissionStep, verb_count>;
using SubmissionTable = std::array<SubmissionRow, submission_state_count>;

namespace submission_table_parts {

using enum SubmissionStep;

constexpr SubmissionRow throughout(SubmissionStep step) {
  SubmissionRow row{};
  row.fill(step);
  return row;
}

// EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, RSET, NOOP, QUIT, HELP, VRFY, EXPN, BDAT, http,
// unknown.
// clang-format off
constexpr SubmissionTable make_table() {
  return {{
    /* banner */              throughout(wait),
    /* clear */               {greet_ehlo, want_tls, start_tls, no_clear_auth, want_tls, want_tls, want_tls, want_tls,
                               answer_noop, quit, answer_help, want_tls, want_tls, close_on_bdat, close_on_http, want_tls},
    /* handshake */           throughout(throw_away),
    /* secure */              {greet_ehlo, greet_helo, tls_already, want_ehlo, want_auth, want_auth, want_auth, reset,
                               answer_noop, quit, answer_help, answer_vrfy, not_offered, close_on_bdat, close_on_http, unknown_verb},
    /* greeted */             {greet_ehlo, greet_helo, tls_already, authenticate, want_auth, want_auth, want_auth, reset,
                               answer_noop, quit, answer_help, answer_vrfy, not_offered, close_on_bdat, close_on_http, unknown_verb},
    /* auth_response */       throughout(take_as_response),
    /* checking_credential */ throughout(wait),
    /* authenticated */       {greet_ehlo, greet_helo, tls_already, auth_already, open_transaction, want_mail, want_mail, reset,
                               answer_noop, quit, answer_help, answer_vrfy, not_offered, close_on_bdat, close_on_http, unknown_verb},
    /* checking_sender */     throughout(wait),
    /* sender_given */        {greet_ehlo, greet_helo, tls_already, auth_already, nested_mail, add_recipient, want_recipient, reset,
                               answer_noop, quit, answer_help, answer_vrfy, not_offered, close_on_bdat, close_on_http, unknown_verb},
    /* checking_recipient */  throughout(wait),
    /* recipients_given */    {greet_ehlo, greet_helo, tls_already, auth_already, nested_mail, add_recipient, open_content, reset,
                               answer_noop, quit, answer_help, answer_vrfy, not_offered, close_on_bdat, close_on_http, unknown_verb},
    /* opening_content */     throughout(refuse_early),
    /* content */             throughout(take_as_content),
    /* committing */          throughout(wait),
    /* closed */              throughout(wait),
  }};
}
// clang-format on

}  // namespace submission_table_parts

inline constexpr SubmissionTable submission_table = submission_table_parts::make_table();

constexpr SubmissionStep submission_step(SubmissionState state, Verb verb) {
  return submission_table[static_cast<std::size_t>(state)][static_cast<std::size_t>(verb)];
}

// A state whose lines are commands, each verb with its own step.
constexpr bool reads_commands(SubmissionState state) {
  using enum SubmissionState;
  return state == clear || state == secure || state == greeted || state == authenticated ||
         state == sender_given || state == recipients_given;
}

namespace submission_table_parts {

constexpr bool is_complete() {
  for (const SubmissionRow& row : submission_table) {
    for (const SubmissionStep step : row) {
      if (step == missing) return false;
    }
  }
  return true;
}

// Relaying without authentication, and a credential in clear, are holes in the table: looked for
// here.
constexpr bool is_guarded() {
  using State = SubmissionState;
  for (std::size_t i = 0; i < submission_state_count; ++i) {
    const auto state = static_cast<State>(i);
    const bool has_user = state == State::authenticated || state == State::sender_given ||
                          state == State::recipients_given;
    for (const SubmissionStep step : submission_table[i]) {
      if ((step == open_transaction || step == add_recipient || step == open_content) &&
          !has_user) {
        return false;
      }
      if (step == authenticate && state != State::greeted) return false;
      if (step == start_tls && state != State::clear) return false;
    }
    // BDAT's payload and a browser's body must never be read as commands (RFC 3030 is not offered).
    if (reads_commands(state) && (submission_step(state, Verb::bdat) != close_on_bdat ||
                                  submission_step(state, Verb::http) != close_on_http)) {
      return false;
    }
  }
  return true;
}

static_assert(is_complete(), "the table state x verb has a hole");
static_assert(is_guarded(), "the table lets somebody in who is not authenticated inside TLS");
static_assert(submission_state_names.back() == "closed" &&
              submission_step_names.back() == "554 close");
static_assert(static_cast<std::size_t>(SubmissionState::closed) + 1 == submission_state_count);
static_assert(static_cast<std::size_t>(refuse_early) + 1 == submission_step_count);
static_assert(static_cast<std::size_t>(Verb::unknown) + 1 == verb_count);

}  // namespace submission_table_parts

// The table as text, a row a state and a column a verb.
[[nodiscard]] std::string submission_states_diagram();

}  // namespace postern::smtp
