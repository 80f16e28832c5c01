// PLAIN and LOGIN, step by step.
#include "relay/smtp/authentication.hpp"

#include <utility>

#include "relay/base/assert.hpp"
#include "relay/smtp/sasl.hpp"

namespace postern::smtp {
namespace {

Authentication::Refusal malformed(std::string text) {
  return {.reply = make_reply(501, {5, 5, 2}, std::move(text)), .is_fault = true};
}

}  // namespace

Authentication::Step Authentication::begin(const AuthCommand& command) {
  if (command.mechanism == "PLAIN") {
    awaited_ = Awaited::plain;
  } else if (command.mechanism == "LOGIN") {
    awaited_ = Awaited::login_user_name;
  } else {
    return Refusal{.reply = make_reply(504, {5, 5, 4}, "use AUTH PLAIN or AUTH LOGIN"),
                   .is_fault = true};
  }
  if (command.initial_response) {
    auto message = decode_initial_response(*command.initial_response);
    if (!message) {
      cancel();
      return malformed("the initial response is no base64");
    }
    return take_message(std::move(*message));
  }
  const bool plain = awaited_ == Awaited::plain;
  return Challenge{make_reply(334, plain ? std::string() : std::string(login_user_name_prompt))};
}

Authentication::Step Authentication::respond(std::string_view line) {
  POSTERN_ASSERT(awaited_ != Awaited::nothing);
  if (line == "*") {  // RFC 4954 §4
    cancel();
    return Refusal{.reply = make_reply(501, {5, 0, 0}, "authentication cancelled"),
                   .is_fault = true};
  }
  auto message = decode_response(line);
  if (!message) {
    cancel();
    return malformed("the response is no base64");
  }
  return take_message(std::move(*message));
}

void Authentication::cancel() {
  awaited_ = Awaited::nothing;
  user_name_.clear();
}

Authentication::Step Authentication::take_message(Secret message) {
  switch (std::exchange(awaited_, Awaited::nothing)) {
    case Awaited::plain: {
      auto credential = parse_plain(message);
      if (!credential && credential.error() == SaslFault::syntax) {
        return malformed("the response is no message of PLAIN (RFC 4616)");
      }
      if (!credential) return refused_credential();
      user_name_ = credential->user_name;
      return CheckCredential{std::move(credential->user_name), std::move(credential->password)};
    }
    case Awaited::login_user_name: {
      auto user_name = parse_login_user_name(message);
      if (!user_name && user_name.error() == SaslFault::syntax) {
        return malformed("the user name is empty");
      }
      if (!user_name) return refused_credential();
      user_name_ = std::move(*user_name);
      awaited_ = Awaited::login_password;
      return Challenge{make_reply(334, std::string(login_password_prompt))};
    }
    case Awaited::login_password: {
      auto password = parse_login_password(std::move(message));
      if (!password) return refused_credential();
      return CheckCredential{user_name_, std::move(*password)};
    }
    case Awaited::nothing:
      break;
  }
  POSTERN_ASSERT(false);
  return malformed("");
}

Authentication::Refusal Authentication::refused_credential() {
  cancel();
  ++failures_;
  return {.reply = make_reply(535, {5, 7, 8}, "user name or password is wrong"),
          .close = failures_ >= auth_failures_max,
          .reason = "too-many-auth-failures"};
}

std::optional<Authentication::Refusal> Authentication::decide(CredentialVerdict verdict) {
  std::string user_name = std::exchange(user_name_, {});
  switch (verdict.kind) {
    case CredentialVerdict::Kind::accepted:
      user_ = AuthenticatedUser(std::move(user_name), verdict.bare_newline);
      return std::nullopt;
    case CredentialVerdict::Kind::refused:
      return refused_credential();
    case CredentialVerdict::Kind::unavailable:
      return Refusal{
          .reply = make_reply(454, {4, 7, 0}, "cannot check a password now; try again later")};
    case CredentialVerdict::Kind::locked:
      return Refusal{
          .reply = make_reply(454, {4, 7, 0},
                              "too many failed logins from this address; try again later"),
          .close = true,
          .reason = "locked"};
  }
  return refused_credential();
}

}  // namespace postern::smtp
