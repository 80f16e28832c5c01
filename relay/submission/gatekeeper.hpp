// The gatekeeper: everything about who may come in that all sessions share, in one place on one
// thread.
//
// It owns the connection counts, the failed logins, the remembered credentials, the rate buckets
// and the two places for password hashing. Session workers ask by message and are answered on their
// own loop, so that none of this needs a lock. Deeper abuse control belongs here: a question more,
// not a rule in the session.
//
// Promise: every question is answered at most once, on the asker's loop, or, when our mailbox is
// full, refused at once by `false` (the asker says 4yz). Known and unknown users, right and wrong
// addresses cost the same time. Sharp edges: an answer is lost when the asker's mailbox is full or
// its loop stops, so every asker sets itself a time to wait; a connection whose answer was lost is
// not counted. Lives on the main loop; only the ask_* and tell_* functions may be called from other
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "crypto/password.hpp"
#include "relay/base/callback.hpp"
#include "relay/base/secret.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/net/loop.hpp"
#include "relay/policy/connection_limits.hpp"
#include "relay/policy/login_guard.hpp"
#include "relay/policy/rate_limits.hpp"
#include "relay/submission/submission_policy.hpp"

namespace postern::submission {

// Argon2id takes 19 MiB and tens of milliseconds: two at once leave a small box its memory and a
// core.
inline constexpr std::size_t password_checks_max = 2;
// Waiting beyond these: the address is answered 454 and may try again.
inline constexpr std::size_t password_checks_waiting_max = 64;
// Rate levels that changed are written this often; a crash forgets at most as much.
inline constexpr Duration counters_save_interval = std::chrono::seconds(30);

struct CredentialQuestion {
  IpAddress address;
  std::string user_name;
  Secret password;
  IpAddress local = {};  // of ours, that the client connected to
  [[nodiscard]] policy::AddressKey key() const { return {address, local}; }
};
struct CredentialAnswer {
  smtp::CredentialVerdict verdict;
  Duration hold_back{0};  // how long the session keeps the answer to itself
};

class Gatekeeper {
 public:
  using ReplyAnswer = Callback<std::optional<smtp::Reply>>;
  using ConnectionVerdict = policy::ConnectionLimits::Verdict;

  Gatekeeper(net::Loop& loop, storage::StorageThread& storage, Logger& log, PolicySnapshot policy);
  // On the main loop. Levels saved by an earlier run.
  void restore(const std::vector<std::pair<std::string, std::string>>& counters);
  void configure(PolicySnapshot policy);
  void save_counters();
  [[nodiscard]] std::size_t open_connections() const { return connections_.open(); }

  // From any thread; `answer` runs on `home`. False: not asked, mailbox full.
  [[nodiscard]] bool ask_connection(net::Loop& home, IpAddress address,
                                    Callback<ConnectionVerdict> answer);
  void tell_connection_closed(IpAddress address);
  [[nodiscard]] bool ask_credential(net::Loop& home, CredentialQuestion question,
                                    Callback<CredentialAnswer> answer);
  // `began_with` is the policy that the session's rights come from: when a reload has changed them
  // or the credential since, the answer is 421 and the client must log in again.
  [[nodiscard]] bool ask_message(net::Loop& home, std::string user, PolicySnapshot began_with,
                                 std::uint64_t declared_bytes, ReplyAnswer answer);
  [[nodiscard]] bool ask_recipient(net::Loop& home, std::string user, ReplyAnswer answer);
  [[nodiscard]] bool ask_bytes(net::Loop& home, std::string user, std::uint64_t bytes,
                               ReplyAnswer answer);

 private:
  struct PasswordCheck {
    net::Loop* home;
    CredentialQuestion question;
    PolicySnapshot policy;  // keeps the verifier alive while it is used on the pool
    Callback<CredentialAnswer> answer;
    crypto::CredentialCheck outcome = crypto::CredentialCheck::unchecked;
  };
  void begin_credential(net::Loop& home, CredentialQuestion question,
                        Callback<CredentialAnswer> answer);
  void start_waiting_checks();
  void finish_check(PasswordCheck& check);
  // True: its address is locked by now, and the answer is given.
  [[nodiscard]] bool refuse_locked(PasswordCheck& check);
  [[nodiscard]] bool still_as(const SubmissionPolicy& began_with, std::string_view user) const;
  void log_refused_login(const CredentialQuestion& question, std::string_view reason);
  void remove_counters_of_gone_users();
  void arm_saving();

  net::Loop& loop_;
  storage::StorageThread& storage_;
  Logger& log_;
  PolicySnapshot policy_;
  policy::ConnectionLimits connections_;
  policy::LoginGuard logins_;
  policy::RateLimits rates_;
  crypto::CredentialCache cache_;
  std::deque<std::unique_ptr<PasswordCheck>> waiting_checks_;
  std::size_t running_checks_ = 0;
  net::Timer save_timer_;
};

}  // namespace postern::submission
