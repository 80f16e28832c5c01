// The table state × verb, walked whole over the real session.
#include "relay/smtp/submission_states.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/smtp/submission_dialogue.hpp"

namespace postern::smtp {
namespace {

using State = SubmissionState;
using Step = SubmissionStep;

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

struct Expected {
  std::string reply;  // its beginning; empty: none
  std::string state;  // "" for: unchanged
};

const std::map<Step, Expected> expected_of_step = {
    {Step::start_tls, {"220 2.0.0", "secure"}},
    {Step::authenticate, {"334 VXNlcm5hbWU6\r\n", "auth_response"}},
    {Step::open_transaction, {"250 2.1.0", "sender_given"}},
    {Step::add_recipient, {"250 2.1.5", "recipients_given"}},
    {Step::open_content, {"354 ", "content"}},
    {Step::answer_noop, {"250 2.0.0", ""}},
    {Step::answer_help, {"214 2.0.0", ""}},
    {Step::answer_vrfy, {"252 2.5.2", ""}},
    {Step::quit, {"221 2.0.0", "closed"}},
    {Step::want_tls, {"530 5.7.0 Must issue a STARTTLS command first\r\n", ""}},
    {Step::no_clear_auth, {"538 5.7.11", ""}},
    {Step::tls_already, {"503 5.5.1", ""}},
    {Step::want_ehlo, {"503 5.5.1", ""}},
    {Step::want_auth, {"530 5.7.0", ""}},
    {Step::auth_already, {"503 5.5.1", ""}},
    {Step::nested_mail, {"503 5.5.1", ""}},
    {Step::want_mail, {"503 5.5.1", ""}},
    {Step::want_recipient, {"503 5.5.1", ""}},
    {Step::not_offered, {"502 5.5.1", ""}},
    {Step::unknown_verb, {"500 5.5.1", ""}},
    {Step::close_on_bdat, {"502 5.5.1", "closed"}},
    {Step::close_on_http, {"", "closed"}},
    {Step::wait, {"", ""}},
    {Step::throw_away, {"", ""}},
    {Step::take_as_response, {"501 5.5.2", "greeted"}},  // no verb with arguments is base64
    {Step::take_as_content, {"", ""}},
    {Step::refuse_early, {"554 5.5.0", "closed"}},
};

Expected expected(State state, Verb verb) {
  const Step step = submission_step(state, verb);
  const bool has_user = state == State::authenticated || state == State::sender_given ||
                        state == State::recipients_given;
  if (step == Step::greet_ehlo) {
    return {"250-relay.example", state == State::clear ? "clear"
                                 : has_user            ? "authenticated"
                                                       : "greeted"};
  }
  if (step == Step::greet_helo) {
    return {"250 relay.example\r\n", state == State::clear ? "clear"
                                     : has_user            ? "authenticated"
                                                           : "secure"};
  }
  if (step == Step::reset) return {"250 2.0.0", has_user ? "authenticated" : ""};
  return expected_of_step.at(step);
}

TEST(SubmissionStates, EveryCellOfTheTableDoesWhatItSays) {
  for (std::size_t s = 1; s < submission_state_count; ++s) {  // 0 is before start()
    const auto state = static_cast<State>(s);
    for (std::size_t v = 0; v < verb_count; ++v) {
      SCOPED_TRACE(std::string(submission_state_names[s]) + " x " + std::string(verb_names[v]));
      const auto dialogue = in_state(state);
      ASSERT_EQ(dialogue->session.state_name(), submission_state_names[s]);
      Expected want = expected(state, static_cast<Verb>(v));
      std::string line = lines[v];
      if (submission_table[s][v] == Step::take_as_response) line += "!";
      const std::string reply = dialogue->say(line);
      if (want.reply.empty()) {
        EXPECT_EQ(reply, "");
      } else {
        EXPECT_EQ(reply.substr(0, want.reply.size()), want.reply);
        EXPECT_TRUE(reply.ends_with("\r\n"));
      }
      EXPECT_EQ(dialogue->session.state_name(),
                want.state.empty() ? submission_state_names[s] : want.state);
      EXPECT_EQ(dialogue->closed, dialogue->session.state_name() == "closed");
      if (submission_table[s][v] == Step::wait && state != State::closed) {
        EXPECT_EQ(dialogue->unsent(), line + "\r\n")
            << "octets were consumed while an answer is awaited";
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
