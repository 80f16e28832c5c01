// Questions of the session workers, answered on the main loop.
#include "relay/submission/gatekeeper.hpp"

#include <utility>

namespace postern::submission {
namespace {

constexpr std::string_view rate_counter_prefix = "rate/";

// Brings an answer home. False: home is full or has stopped, and the asker's own time to wait ends
// it.
template <class Value>
bool answer_at(net::Loop& home, Callback<Value> answer, Value value) {
  return home.post([answer = std::move(answer), value = std::move(value)]() mutable {
    answer(std::move(value));
  });
}

std::int64_t milliseconds(MonotonicTime time) { return time.time_since_epoch().count(); }

}  // namespace

Gatekeeper::Gatekeeper(net::Loop& loop, storage::StorageThread& storage, Logger& log,
                       PolicySnapshot policy)
    : loop_(loop),
      storage_(storage),
      log_(log),
      policy_(std::move(policy)),
      connections_(policy_->connections_max, policy_->connections_per_address_max),
      logins_(policy_->auth_failures_max),
      save_timer_(loop) {
  rates_.configure(policy_->users, read_clocks().monotonic);
  arm_saving();
}

void Gatekeeper::configure(PolicySnapshot policy) {
  policy_ = std::move(policy);
  connections_.configure(policy_->connections_max, policy_->connections_per_address_max);
  logins_.set_failures_max(policy_->auth_failures_max);
  rates_.configure(policy_->users, read_clocks().monotonic);
  // Keys of the cache contain the verifier, so changed passwords miss; removed users go here.
  cache_.clear();
  remove_counters_of_gone_users();
}

void Gatekeeper::restore(const std::vector<std::pair<std::string, std::string>>& counters) {
  const Now now = read_clocks();
  for (const auto& [name, value] : counters) {
    if (name.starts_with(rate_counter_prefix)) {
      rates_.restore(std::string_view(name).substr(rate_counter_prefix.size()), value, now);
    }
  }
  remove_counters_of_gone_users();
}

// At the start and at each reload, so that a refused request is only put off.
void Gatekeeper::remove_counters_of_gone_users() {
  storage::KeepCounters request{std::string(rate_counter_prefix), {}, {}};
  for (const auto& [name, user] : policy_->users) {
    request.kept.push_back(std::string(rate_counter_prefix) + name);
  }
  static_cast<void>(storage_.post(std::move(request)));
}

void Gatekeeper::save_counters() {
  const Now now = read_clocks();
  storage::SaveCounters request;
  for (const auto& user : rates_.changed_users()) {
    request.counters.emplace_back(std::string(rate_counter_prefix) + user, rates_.save(user, now));
  }
  // Posted also when nothing changed. It writes nothing then, but the store measures the free room
  // after each change: with none, a relay that once said "452, storage is full" would say it for
  // ever.
  if (storage_.post(std::move(request))) {
    rates_.forget_changes();
  } else {
    log_.event(LogLevel::warning, "counters-not-saved")
        .field("reason", "the storage thread's mailbox is full; the next round tries again");
  }
}

void Gatekeeper::arm_saving() {
  save_timer_.start(counters_save_interval, [this] {
    save_counters();
    arm_saving();
  });
}

bool Gatekeeper::ask_connection(net::Loop& home, IpAddress address,
                                Callback<ConnectionVerdict> answer) {
  return loop_.post([this, &home, address, answer = std::move(answer)]() mutable {
    const ConnectionVerdict verdict = connections_.opened(address);
    // Nobody would ever tell of its end.
    if (!answer_at(home, std::move(answer), verdict) && verdict == ConnectionVerdict::accepted) {
      connections_.closed(address);
    }
  });
}

void Gatekeeper::tell_connection_closed(IpAddress address) {
  if (!loop_.post([this, address] { connections_.closed(address); })) {
    log_.event(LogLevel::error, "connection-count-lost")
        .field("client_address", address.text())
        .field("reason", "the main loop's mailbox is full; the count heals at the next restart");
  }
}

bool Gatekeeper::ask_credential(net::Loop& home, CredentialQuestion question,
                                Callback<CredentialAnswer> answer) {
  return loop_.post(
      [this, &home, question = std::move(question), answer = std::move(answer)]() mutable {
        begin_credential(home, std::move(question), std::move(answer));
      });
}

void Gatekeeper::begin_credential(net::Loop& home, CredentialQuestion question,
                                  Callback<CredentialAnswer> answer) {
  using Kind = smtp::CredentialVerdict::Kind;
  const MonotonicTime now = read_clocks().monotonic;
  const auto answer_now = [&](Kind kind, smtp::BareNewline bare_newline = {}) {
    answer_at(home, std::move(answer), CredentialAnswer{{kind, bare_newline}, Duration(0)});
  };
  if (logins_.locked(question.key(), now)) {
    log_refused_login(question, "the address is locked after too many failed logins");
    return answer_now(Kind::locked);
  }
  const auto user = policy_->users.find(question.user_name);
  if (user != policy_->users.end() && policy::may_connect_from(user->second, question.address) &&
      cache_.matches(user->first, user->second.password, question.password, milliseconds(now))) {
    logins_.succeeded(question.key(), question.user_name);
    return answer_now(Kind::accepted, user->second.bare_newline);
  }
  if (waiting_checks_.size() >= password_checks_waiting_max) {
    log_refused_login(question, "too many logins wait for their password to be checked");
    return answer_now(Kind::unavailable);
  }
  waiting_checks_.push_back(std::make_unique<PasswordCheck>(
      PasswordCheck{&home, std::move(question), policy_, std::move(answer)}));
  start_waiting_checks();
}

void Gatekeeper::start_waiting_checks() {
  while (running_checks_ < password_checks_max && !waiting_checks_.empty()) {
    auto check = std::move(waiting_checks_.front());
    waiting_checks_.pop_front();
    // Others of its address may have failed while it waited: guesses made at once must be no more
    // than those made in turns.
    if (refuse_locked(*check)) continue;
    ++running_checks_;
    PasswordCheck* const running =
        check.get();  // owned by the second callback, which outlives the first
    loop_.run_on_pool(
        [running] {
          const auto user = running->policy->users.find(running->question.user_name);
          const bool known = user != running->policy->users.end();
          running->outcome = crypto::check_credential(known ? &user->second.password : nullptr,
                                                      running->question.password);
        },
        [this, check = std::move(check)]() mutable {
          --running_checks_;
          finish_check(*check);
          start_waiting_checks();
        });
  }
}

bool Gatekeeper::refuse_locked(PasswordCheck& check) {
  if (!logins_.locked(check.question.key(), read_clocks().monotonic)) return false;
  log_refused_login(check.question, "the address is locked after too many failed logins");
  answer_at(*check.home, std::move(check.answer),
            CredentialAnswer{{.kind = smtp::CredentialVerdict::Kind::locked}, Duration(0)});
  return true;
}

void Gatekeeper::finish_check(PasswordCheck& check) {
  using Kind = smtp::CredentialVerdict::Kind;
  // Right or wrong: a guess beyond the last allowed one tells nothing, and is not counted, so that
  // nothing later tells of it either.
  if (refuse_locked(check)) return;
  if (check.outcome == crypto::CredentialCheck::unchecked) {  // RFC 4954 §6: 454, and no failure
    log_refused_login(check.question, "no memory is free to check a password");
    answer_at(*check.home, std::move(check.answer),
              CredentialAnswer{{.kind = Kind::unavailable}, Duration(0)});
    return;
  }
  const bool right = check.outcome == crypto::CredentialCheck::right;
  const MonotonicTime now = read_clocks().monotonic;
  const auto user = check.policy->users.find(check.question.user_name);
  const bool known = user != check.policy->users.end();
  const bool place_allowed =
      known && policy::may_connect_from(user->second, check.question.address);
  if (known && right && place_allowed) {
    cache_.remember(user->first, user->second.password, check.question.password, milliseconds(now));
    logins_.succeeded(check.question.key(), check.question.user_name);
    answer_at(*check.home, std::move(check.answer),
              CredentialAnswer{{.kind = Kind::accepted, .bare_newline = user->second.bare_newline},
                               Duration(0)});
    return;
  }
  // The client hears the same words in every case; the log tells the administrator which it was.
  log_refused_login(check.question, !known ? "no such user"
                                    : !right
                                        ? "wrong password"
                                        : "not from this address: see `addresses` of the user");
  answer_at(*check.home, std::move(check.answer),
            CredentialAnswer{{.kind = Kind::refused},
                             logins_.failed(check.question.key(), check.question.user_name, now)});
}

void Gatekeeper::log_refused_login(const CredentialQuestion& question, std::string_view reason) {
  log_.event(LogLevel::notice, "login-refused")
      .field("client_address", question.address.text())
      .field("user", question.user_name)
      .field("reason", reason);
}

bool Gatekeeper::still_as(const SubmissionPolicy& began_with, std::string_view user) const {
  const auto before = began_with.users.find(user);
  const auto now = policy_->users.find(user);
  return before != began_with.users.end() && now != policy_->users.end() &&
         policy::same_credential_and_rights(before->second, now->second);
}

bool Gatekeeper::ask_message(net::Loop& home, std::string user, PolicySnapshot began_with,
                             std::uint64_t declared_bytes, ReplyAnswer answer) {
  return loop_.post([this, &home, user = std::move(user), began_with = std::move(began_with),
                     declared_bytes, answer = std::move(answer)]() mutable {
    // A session that a reload overtook: the old password ends with it, also for who is in.
    answer_at(home, std::move(answer),
              still_as(*began_with, user)
                  ? rates_.take_message(user, declared_bytes, read_clocks().monotonic)
                  : smtp::make_reply(421, {4, 7, 0},
                                     "the configuration of this user has changed; log in again"));
  });
}

bool Gatekeeper::ask_recipient(net::Loop& home, std::string user, ReplyAnswer answer) {
  return loop_.post([this, &home, user = std::move(user), answer = std::move(answer)]() mutable {
    answer_at(home, std::move(answer), rates_.take_recipient(user, read_clocks().monotonic));
  });
}

bool Gatekeeper::ask_bytes(net::Loop& home, std::string user, std::uint64_t bytes,
                           ReplyAnswer answer) {
  return loop_.post(
      [this, &home, user = std::move(user), bytes, answer = std::move(answer)]() mutable {
        answer_at(home, std::move(answer), rates_.take_bytes(user, bytes, read_clocks().monotonic));
      });
}

}  // namespace postern::submission
