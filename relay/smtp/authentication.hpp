// The AUTH exchange of one connection (RFC 4954): from the command to a checked credential.
//
// Promise: the only place that makes an AuthenticatedUser, and only out of an accepted verdict.
// Every refused credential gets the same words. Sharp edge: between CheckCredential and the verdict
// the user's name is held, never the password.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "relay/smtp/command.hpp"
#include "relay/smtp/submission_session.hpp"

namespace postern::smtp {

// A device with a wrong password tries it on and on; an attacker does not get more guesses a
// connection.
inline constexpr unsigned auth_failures_max = 3;

class Authentication {
 public:
  struct Challenge {
    Reply reply;  // 334
  };
  struct Refusal {
    Reply reply;
    bool is_fault = false;  // a malformed exchange, counted like any bad command
    bool close = false;
    std::string_view reason = {};  // why it closes, for the log
  };
  using Step = std::variant<Challenge, CheckCredential, Refusal>;

  [[nodiscard]] Step begin(const AuthCommand& command);
  [[nodiscard]] Step respond(std::string_view line);
  void cancel();  // the response could not even be read
  // Nothing: the user is in. Otherwise why not.
  [[nodiscard]] std::optional<Refusal> decide(CredentialVerdict verdict);
  [[nodiscard]] const AuthenticatedUser* user() const { return user_ ? &*user_ : nullptr; }

 private:
  enum class Awaited : std::uint8_t { nothing, plain, login_user_name, login_password };

  Step take_message(Secret message);
  Refusal refused_credential();

  Awaited awaited_ = Awaited::nothing;
  std::string user_name_;
  std::optional<AuthenticatedUser> user_;
  unsigned failures_ = 0;
};

}  // namespace postern::smtp
