// Walks every state × every event over the real session and compares with what must come of it.
#include "relay/smtp/delivery_states.hpp"

#include <array>

#include "tests/unit/smtp/delivery_support.hpp"

namespace postern::smtp {
namespace {

using enum DeliveryState;
using Kind = RecipientResult::Kind;
using Failure = SessionFailed::Kind;

// Brings a fresh dialogue into the state. Every state is reached the way it is reached in life.
DeliveryDialogue dialogue_in(DeliveryState state) {
  UpstreamOptions options;
  if (state == starttls || state == handshake) {
    options.tls = DeliveryTls::starttls;
    options.capabilities = "250 STARTTLS\r\n";
  }
  if (state == auth_plain) options.user_name = std::string(400, 'u');
  if (state == auth_plain || state == auth_credential) options.capabilities = "250 AUTH PLAIN\r\n";
  if (state == auth_credential) options.user_name = "user";
  if (state == auth_login || state == auth_login_user) {
    options.user_name = "user";
    options.capabilities = "250 AUTH LOGIN\r\n";
  }
  if (state == empty_dot) options.capabilities = "250 PIPELINING\r\n";
  DeliveryDialogue dialogue(options);
  if (state == unconnected) return dialogue;
  if (state == greeting || state == ehlo) {
    dialogue.session.connected();
    if (state == ehlo) dialogue.say("220 hello\r\n");
    return dialogue;
  }
  dialogue.greet();
  if (state == handshake) dialogue.say("220 go\r\n");
  if (state == auth_login_user) dialogue.say("334 VXNlcm5hbWU6\r\n");
  if (state == quit) dialogue.session.quit();
  if (state == closed) dialogue.session.connection_lost("gone");
  if (state == empty_dot) {
    dialogue.begin();
    dialogue.say("250 ok\r\n550 no\r\n550 no\r\n354 go\r\n");
  }
  if (state == reset) {
    dialogue.begin(1);
    dialogue.say("250 ok\r\n");
    dialogue.say("550 no\r\n");
  }
  const std::array<std::string_view, 5> replies{"", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n",
                                                "354 go\r\n"};
  const std::array<DeliveryState, 5> path{mail, rcpt, rcpt, data, content};
  if (state == mail || state == rcpt || state == data || state == content || state == dot) {
    dialogue.begin();
    for (std::size_t i = 1;
         i < path.size() && delivery_row(state).name != dialogue.session.state_name(); ++i) {
      dialogue.say(replies[i]);
    }
    if (state == dot) dialogue.send_message();
  }
  dialogue.drain();
  return dialogue;
}

void apply(DeliveryDialogue& dialogue, DeliveryEvent event) {
  switch (event) {
    case DeliveryEvent::positive:
      dialogue.say("250 yes\r\n");
      break;
    case DeliveryEvent::intermediate:
      dialogue.say("350 more\r\n");
      break;
    case DeliveryEvent::transient:
      dialogue.say("451 later\r\n");
      break;
    case DeliveryEvent::permanent:
      dialogue.say("550 never\r\n");
      break;
    case DeliveryEvent::closing:
      dialogue.say("421 closing\r\n");
      break;
    case DeliveryEvent::malformed:
      dialogue.say("SSH-2.0-OpenSSH\r\n");
      break;
    case DeliveryEvent::lost:
      dialogue.session.connection_lost("reset by peer");
      break;
    case DeliveryEvent::silent:
      dialogue.session.timed_out();
      break;
  }
  dialogue.drain();
}

// What is to come of one cell, told independently of the step table: the next state's name, or for
// a failed session its kind.
struct Expected {
  DeliveryState state;
  std::array<std::string_view, delivery_events> after;  // a state's name, or "!" and a failure
};

constexpr std::string_view protocol = "!protocol";
constexpr std::string_view refused = "!refused";
constexpr std::string_view lost = "!lost";
constexpr std::string_view timeout = "!timeout";

const std::array<Expected, delivery_states> expectations{{
    {unconnected, {protocol, protocol, protocol, protocol, refused, protocol, lost, timeout}},
    {greeting, {"ehlo", protocol, refused, refused, refused, protocol, lost, timeout}},
    {ehlo, {"ready", protocol, refused, refused, refused, protocol, lost, timeout}},
    {starttls, {"handshake", protocol, "!tls", "!tls", refused, protocol, lost, timeout}},
    {handshake, {protocol, protocol, protocol, protocol, protocol, protocol, lost, timeout}},
    {auth_plain, {protocol, "auth-credential", "!auth", "!auth", refused, protocol, lost, timeout}},
    {auth_login, {protocol, "auth-login-user", "!auth", "!auth", refused, protocol, lost, timeout}},
    {auth_login_user,
     {protocol, "auth-credential", "!auth", "!auth", refused, protocol, lost, timeout}},
    {auth_credential, {"ready", protocol, "!auth", "!auth", refused, protocol, lost, timeout}},
    {ready, {protocol, protocol, protocol, protocol, refused, protocol, lost, timeout}},
    {mail, {"rcpt", protocol, "ready", "ready", refused, protocol, lost, timeout}},
    {rcpt, {"rcpt", protocol, "rcpt", "rcpt", refused, protocol, lost, timeout}},
    {data, {protocol, "content", "reset", "reset", refused, protocol, lost, timeout}},
    {content, {protocol, protocol, refused, refused, refused, protocol, lost, timeout}},
    {dot, {"ready", protocol, "ready", "ready", refused, protocol, lost, timeout}},
    {empty_dot, {"ready", protocol, "ready", "ready", refused, protocol, lost, timeout}},
    {reset, {"ready", protocol, refused, refused, refused, protocol, lost, timeout}},
    {quit, {"closed", "closed", "closed", "closed", "closed", "closed", "closed", "closed"}},
    {closed, {"closed", "closed", "closed", "closed", "closed", "closed", "closed", "closed"}},
}};

std::string_view failure_name(Failure kind) {
  switch (kind) {
    case Failure::tls_not_offered:
      return "!tls";
    case Failure::authentication_refused:
      return "!auth";
    case Failure::protocol_error:
      return protocol;
    case Failure::upstream_refused:
      return refused;
    case Failure::timeout:
      return timeout;
    case Failure::lost:
      return lost;
  }
  return "?";
}

bool in_transaction(DeliveryState state) {
  return state == mail || state == rcpt || state == data || state == content || state == dot ||
         state == empty_dot;
}

void check_results(const DeliveryDialogue& dialogue, DeliveryState state, DeliveryEvent event) {
  if (!in_transaction(state) || dialogue.transactions == 0) return;
  ASSERT_EQ(dialogue.transactions, 1);
  ASSERT_EQ(dialogue.results.size(), 2U);
  for (const RecipientResult& result : dialogue.results) {
    if (state == empty_dot) {
      EXPECT_EQ(result.reply->code, 550) << "RCPT's reply stays";
      continue;
    }
    const bool nonsense = event == DeliveryEvent::malformed || event == DeliveryEvent::lost ||
                          event == DeliveryEvent::silent || event == DeliveryEvent::intermediate;
    EXPECT_EQ(result.perhaps_delivered, state == dot && nonsense);
    if (nonsense) {
      EXPECT_EQ(result.kind, Kind::unfinished);
      EXPECT_FALSE(result.detail.empty());
    }
    if (event == DeliveryEvent::positive) {
      EXPECT_EQ(result.kind, state == dot ? Kind::accepted : Kind::unfinished);
    }
    if (event == DeliveryEvent::closing) {
      EXPECT_EQ(result.reply->code, 421);  // RFC 5321 §3.8: temporary, always
    }
  }
}

TEST(DeliveryStates, EveryReplyInEveryStateLeadsWhereItMust) {
  for (std::size_t s = 0; s < delivery_states; ++s) {
    ASSERT_EQ(static_cast<std::size_t>(expectations[s].state), s);
    for (std::size_t e = 0; e < delivery_events; ++e) {
      const auto state = static_cast<DeliveryState>(s);
      const auto event = static_cast<DeliveryEvent>(e);
      SCOPED_TRACE(std::string(delivery_row(state).name) + " × event " + std::to_string(e));
      DeliveryDialogue dialogue = dialogue_in(state);
      ASSERT_EQ(dialogue.session.state_name(), delivery_row(state).name);
      dialogue.failure.reset();
      apply(dialogue, event);
      const std::string_view expected = expectations[s].after[e];
      if (dialogue.failure) {
        EXPECT_EQ(failure_name(dialogue.failure->kind), expected);
        EXPECT_EQ(dialogue.session.state_name(), "closed");
        EXPECT_FALSE(dialogue.failure->detail.empty());
        if (in_transaction(state)) {
          EXPECT_EQ(dialogue.transactions, 1) << "before SessionFailed";
        }
      } else {
        EXPECT_EQ(dialogue.session.state_name(), expected);
      }
      check_results(dialogue, state, event);
    }
  }
}

TEST(DeliveryStates, WaitAsLongAsTheStandardAsks) {  // RFC 5321 §4.5.3.2
  using std::chrono::minutes;
  EXPECT_EQ(dialogue_in(greeting).session.timeout(), minutes(5));
  EXPECT_EQ(dialogue_in(ehlo).session.timeout(), minutes(5));
  EXPECT_EQ(dialogue_in(mail).session.timeout(), minutes(5));
  EXPECT_EQ(dialogue_in(rcpt).session.timeout(), minutes(5));
  EXPECT_EQ(dialogue_in(data).session.timeout(), minutes(2));
  EXPECT_EQ(dialogue_in(content).session.timeout(), minutes(3));
  EXPECT_EQ(dialogue_in(dot).session.timeout(), minutes(10));
  EXPECT_EQ(dialogue_in(ready).session.timeout(), std::nullopt);
}

}  // namespace
}  // namespace postern::smtp
