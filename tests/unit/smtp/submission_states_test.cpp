// Every command in every state, over the real session, against expectations written by hand.
#include "relay/smtp/submission_states.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/unit/smtp/submission_dialogue.hpp"

namespace postern::smtp {
namespace {

using State = SubmissionState;

// A well-formed line for each verb: what is tested is the state, not the arguments.
const std::array<std::string, verb_count> lines = {"EHLO c.example",
                                                   "HELO c.example",
                                                   "STARTTLS",
                                                   "AUTH LOGIN",
                                                   "MAIL FROM:<s@o.example>",
                                                   "RCPT TO:<a@b.example>",
                                                   "DATA",
                                                   "RSET",
                                                   "NOOP",
                                                   "QUIT",
                                                   "HELP",
                                                   "VRFY anna",
                                                   "EXPN all",
                                                   "BDAT 5 LAST",
                                                   "GET / HTTP/1.1",
                                                   "FROBNICATE"};

// Brings a fresh dialogue into the state.
std::unique_ptr<SubmissionDialogue> in_state(State state) {
  const bool tls = state != State::clear && state != State::handshake;
  auto dialogue = std::make_unique<SubmissionDialogue>(
      SubmissionSettings{.hostname = "relay.example", .implicit_tls = tls});
  auto& d = *dialogue;
  const auto unanswered = [&d](const std::string& line) {
    d.answer_at_once = false;
    d.say(line);
  };
  if (state == State::handshake) unanswered("STARTTLS");
  if (state == State::clear || state == State::secure || state == State::handshake) return dialogue;
  if (state == State::closed) {
    d.say("QUIT");
    return dialogue;
  }
  d.say("EHLO c.example");
  if (state == State::greeted) return dialogue;
  if (state == State::auth_response) {
    d.say("AUTH LOGIN");
    return dialogue;
  }
  const std::string auth = "AUTH PLAIN " + plain_message("scan", test_password);
  if (state == State::checking_credential) {
    unanswered(auth);
    return dialogue;
  }
  d.say(auth);
  if (state == State::authenticated) return dialogue;
  if (state == State::checking_sender) {
    unanswered("MAIL FROM:<s@o.example>");
    return dialogue;
  }
  d.say("MAIL FROM:<s@o.example>");
  if (state == State::sender_given) return dialogue;
  if (state == State::checking_recipient) {
    unanswered("RCPT TO:<a@b.example>");
    return dialogue;
  }
  d.say("RCPT TO:<a@b.example>");
  if (state == State::recipients_given) return dialogue;
  if (state == State::opening_content) {
    unanswered("DATA");
    return dialogue;
  }
  d.say("DATA");
  if (state == State::content) return dialogue;
  d.answer_at_once = false;
  d.say(".");
  return dialogue;  // committing
}

// What the standards ask of each command in each state, written by hand and not from the product's
// table: the beginning of the reply, nothing for no reply; behind '>' the state afterwards, where
// it changes.
using Row = std::array<std::string_view, verb_count>;

constexpr Row all(std::string_view cell) {
  Row row;
  row.fill(cell);
  return row;
}

// What is the same in every state inside TLS. RFC 5321 §4.1.1.5 (RSET), §4.1.1.9 (NOOP), §4.1.1.10
// (QUIT), §4.1.1.8 (HELP), §3.5.3, §7.3 (VRFY tells nothing, EXPN is not offered); RFC 3030 is not
// offered, and BDAT's payload must not be read as commands, like a browser's body; RFC 3207 §4:
// there is TLS already.
constexpr Row inside_tls(std::string_view ehlo, std::string_view helo, std::string_view auth,
                         std::string_view mail, std::string_view rcpt, std::string_view data,
                         std::string_view rset) {
  return {ehlo,        helo,
          "503 5.5.1", auth,
          mail,        rcpt,
          data,        rset,
          "250 2.0.0", "221 2.0.0>closed",
          "214 2.0.0", "252 2.5.2",
          "502 5.5.1", "502 5.5.1>closed",
          ">closed",   "500 5.5.1"};
}

Row expected_row(State state) {
  constexpr std::string_view too_early = "503 5.5.1";
  switch (state) {
    case State::clear:
      // RFC 3207 §4: 530 to all that needs TLS. RFC 4954 §4, §6: no password in clear, 538 5.7.11.
      // RFC 5321 §4.1.1.8: HELP even before EHLO.
      return {"250-relay.example",
              "530 5.7.0",
              "220 2.0.0>secure",
              "538 5.7.11",
              "530 5.7.0 Must issue a STARTTLS command first\r\n",
              "530 5.7.0",
              "530 5.7.0",
              "530 5.7.0",
              "250 2.0.0",
              "221 2.0.0>closed",
              "214 2.0.0",
              "530 5.7.0",
              "530 5.7.0",
              "502 5.5.1>closed",
              ">closed",
              "530 5.7.0"};
    case State::secure:
      // RFC 3207 §4.2: what was said in clear is forgotten, so AUTH wants an EHLO first (RFC 5321
      // §4.1.4). RFC 4954 §6: 530 5.7.0 to what wants authentication (RFC 6409 §4.3).
      return inside_tls("250-relay.example>greeted", "250 relay.example", too_early, "530 5.7.0",
                        "530 5.7.0", "530 5.7.0", "250 2.0.0");
    case State::greeted:
      // RFC 4954 §4: AUTH is an extension, which HELO takes back (RFC 5321 §4.1.1.1).
      return inside_tls("250-relay.example", "250 relay.example>secure",
                        "334 VXNlcm5hbWU6\r\n>auth_response", "530 5.7.0", "530 5.7.0", "530 5.7.0",
                        "250 2.0.0");
    case State::authenticated:
      // RFC 4954 §4: one AUTH a session. RFC 5321 §4.1.4: MAIL, then RCPT, then DATA.
      return inside_tls("250-relay.example", "250 relay.example", too_early,
                        "250 2.1.0>sender_given", too_early, too_early, "250 2.0.0");
    case State::sender_given:
      // RFC 5321 §4.1.4: EHLO is also a RSET, MAIL may not be nested; §3.3: no DATA without a
      // recipient. RFC 4954 §4: no AUTH within a transaction.
      return inside_tls("250-relay.example>authenticated", "250 relay.example>authenticated",
                        too_early, too_early, "250 2.1.5>recipients_given", too_early,
                        "250 2.0.0>authenticated");
    case State::recipients_given:
      return inside_tls("250-relay.example>authenticated", "250 relay.example>authenticated",
                        too_early, too_early, "250 2.1.5", "354 >content",
                        "250 2.0.0>authenticated");
    case State::auth_response:
      return all("501 5.5.2>greeted");  // RFC 4954 §4: no base64, and never a command
    case State::opening_content:
      return all("554 5.5.0>closed");  // RFC 2920 §3.1: nothing may follow DATA before its 354
    default:
      return all("");  // content, or nothing is read
  }
}

// RFC 2920 §3.1: replies keep the order of the commands, so nothing is read while one is owed.
bool owes_an_answer(State state) {
  return state == State::checking_credential || state == State::checking_sender ||
         state == State::checking_recipient || state == State::committing;
}

TEST(SubmissionStates, EveryCommandInEveryStateDoesWhatTheStandardsAsk) {
  for (std::size_t s = 1; s < submission_state_count; ++s) {  // 0 is before start()
    const auto state = static_cast<State>(s);
    const Row row = expected_row(state);
    for (std::size_t v = 0; v < verb_count; ++v) {
      SCOPED_TRACE(std::string(submission_state_names[s]) + " x " + std::string(verb_names[v]));
      const std::size_t split = row[v].find('>');
      const std::string_view want = row[v].substr(0, split);
      const std::string_view then =
          split == std::string_view::npos ? submission_state_names[s] : row[v].substr(split + 1);
      const auto dialogue = in_state(state);
      ASSERT_EQ(dialogue->session.state_name(), submission_state_names[s]);
      // A word alone might be base64.
      const std::string line = lines[v] + (state == State::auth_response ? "!" : "");
      const std::string reply = dialogue->say(line);
      EXPECT_EQ(reply.substr(0, want.size()), want);
      EXPECT_EQ(reply.empty(), want.empty()) << reply;
      EXPECT_TRUE(reply.empty() || reply.ends_with("\r\n"));
      EXPECT_EQ(dialogue->session.state_name(), then);
      EXPECT_EQ(dialogue->closed, then == "closed");
      if (owes_an_answer(state)) {
        EXPECT_EQ(dialogue->unsent(), line + "\r\n");
      }
    }
  }
}

TEST(SubmissionStates, NothingIsReadBeforeTheBanner) {
  SubmissionSession session({.hostname = "relay.example"});
  EXPECT_EQ(session.receive(as_bytes("QUIT\r\n")), 0U);
  EXPECT_FALSE(session.next_action());
  EXPECT_EQ(session.state_name(), "banner");
}

TEST(SubmissionStates, TheDiagramHasARowForEveryState) {
  const std::string diagram = submission_states_diagram();
  for (const auto name : submission_state_names) {
    EXPECT_NE(diagram.find("\n" + std::string(name) + " "), std::string::npos) << name;
  }
  for (const auto name : verb_names) EXPECT_NE(diagram.find(name), std::string::npos) << name;
  EXPECT_EQ(diagram.find("MISSING"), std::string::npos);
}

TEST(SubmissionStates,
     TheClientsSilenceIsTimedOnlyWhereTheClientMustSpeak) {  // RFC 5321 §4.5.3.2.7
  for (const auto state : {State::clear, State::secure, State::greeted, State::auth_response,
                           State::authenticated, State::sender_given, State::content}) {
    EXPECT_EQ(in_state(state)->session.timeout(), std::chrono::minutes(5));
  }
  for (const auto state :
       {State::checking_credential, State::checking_sender, State::checking_recipient,
        State::opening_content, State::committing, State::closed}) {
    EXPECT_FALSE(in_state(state)->session.timeout());
  }
}

TEST(SubmissionStates, OnlyAConnectionWithoutATransactionIsIdle) {
  for (const auto state : {State::clear, State::secure, State::greeted, State::authenticated}) {
    EXPECT_TRUE(in_state(state)->session.idle_between_transactions());
  }
  for (const auto state : {State::auth_response, State::sender_given, State::recipients_given,
                           State::content, State::committing, State::checking_sender}) {
    EXPECT_FALSE(in_state(state)->session.idle_between_transactions());
  }
  auto halfway = in_state(State::authenticated);
  halfway->send("MAIL");
  EXPECT_FALSE(halfway->session.idle_between_transactions());
}

TEST(SubmissionStates, EveryStateCanBeClosedFromOutsideAndLateAnswersFindNobody) {
  for (std::size_t s = 1; s + 1 < submission_state_count; ++s) {
    SCOPED_TRACE(submission_state_names[s]);
    const auto dialogue = in_state(static_cast<State>(s));
    const bool content_open = s == static_cast<std::size_t>(State::opening_content) ||
                              s == static_cast<std::size_t>(State::content);
    dialogue->events.clear();
    dialogue->session.close_with(make_reply(421, {4, 4, 2}, "idle too long"), "idle");
    EXPECT_EQ(dialogue->pump(), "421 4.4.2 idle too long\r\n");
    EXPECT_EQ(dialogue->close_reason, "idle");
    // A commit that is under way is not called back: it may already be durable.
    EXPECT_EQ(dialogue->events,
              content_open ? std::vector<std::string>{"discard"} : std::vector<std::string>{});
    auto& session = dialogue->session;
    session.tls_started();
    session.credential_checked({.kind = CredentialVerdict::Kind::accepted});
    session.sender_checked({});
    session.recipient_checked({});
    session.content_ready({});
    session.message_committed(make_reply(250, {2, 0, 0}, "queued"));
    session.refuse_content(make_reply(451, {4, 3, 0}, "no"));
    session.close_with(make_reply(421, {4, 3, 2}, "again"), "again");
    EXPECT_FALSE(session.next_action());
    EXPECT_EQ(session.user() == nullptr, s < static_cast<std::size_t>(State::authenticated));
  }
}

}  // namespace
}  // namespace postern::smtp
