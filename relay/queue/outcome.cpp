// Decides what became of a recipient; nobody else may.
//
// Promise: only a clear 5yz about this mail, or old age, fails a recipient. Everything that smells
// of our own configuration, of the way to the upstream or of nonsense waits, because a bounce
// cannot be taken back. Sharp edge: a class-5 enhanced status code under a delayed outcome would be
// a contradiction in the delivery status notification, so it becomes class 4 (RFC 3463 §3.1); what
// expires keeps 4.4.7.
#include "relay/queue/outcome.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace postern::queue {
namespace {

// RFC 4954 §6 and RFC 3207 §4: the upstream wants authentication or TLS from us. Whoever runs the
// relay can mend that; the mail's author cannot.
constexpr std::array<std::uint16_t, 4> authentication_codes = {530, 534, 535, 538};

// The reply's enhanced status code under the class that the outcome has; class.0.0 when it gave
// none.
std::string status_of(const smtp::Reply& reply, std::uint8_t status_class) {
  smtp::EnhancedStatus status = reply.enhanced.value_or(smtp::EnhancedStatus{});
  status.status_class = status_class;
  return status.text();
}

Outcome decide_refused(const smtp::RecipientResult& result) {
  const smtp::Reply& reply = *result.reply;
  if (reply.permanent_failure()) {
    // A 552 here answered MAIL or the dot: at RCPT the session has made it a 452 already
    // (RFC 5321 §4.5.3.1.10).
    if (std::ranges::find(authentication_codes, reply.code) != authentication_codes.end()) {
      return {Outcome::Kind::delayed, reply.enhanced ? status_of(reply, 4) : "4.7.0", reply.text()};
    }
    return {Outcome::Kind::failed, status_of(reply, 5), reply.text()};
  }
  if (reply.transient_failure()) {
    return {Outcome::Kind::delayed, status_of(reply, 4), reply.text()};
  }
  return {Outcome::Kind::delayed, "4.5.0",
          "the upstream answered out of turn with \"" + reply.text() + "\""};
}

bool wants(const smtp::ReversePath& sender, const smtp::NotifyWishes& notify, bool wished,
           bool wanted_by_default) {
  // RFC 5321 §4.5.5, RFC 3834 §2: nothing is ever reported to the null reverse-path.
  if (sender.is_null()) return false;
  if (!notify.given) return wanted_by_default;
  return wished && !notify.never;
}

}  // namespace

Outcome decide_outcome(const smtp::RecipientResult& result) {
  using Kind = smtp::RecipientResult::Kind;
  if (result.kind == Kind::accepted) {
    if (!result.reply) return {Outcome::Kind::relayed, "2.0.0", "accepted by the upstream"};
    return {Outcome::Kind::relayed, status_of(*result.reply, 2), result.reply->text()};
  }
  if (result.kind == Kind::refused && result.reply) return decide_refused(result);
  std::string reason = result.detail;
  if (reason.empty()) {
    reason = result.perhaps_delivered ? "connection lost after the final dot"
                                      : "the upstream gave no final reply";
  }
  if (result.reply) reason += " (last reply: " + result.reply->text() + ")";
  // RFC 3463 §3.5: 4.4.2, bad connection.
  return {Outcome::Kind::delayed, "4.4.2", std::move(reason)};
}

Outcome delayed_by_trouble(std::string status, std::string reason) {
  const auto parsed = smtp::EnhancedStatus::parse_prefix(status);
  if (!parsed || parsed->status_class == 2) {
    status = "4.0.0";
  } else {
    status = smtp::EnhancedStatus{4, parsed->subject, parsed->detail}.text();
  }
  return {Outcome::Kind::delayed, std::move(status), std::move(reason)};
}

Outcome expired(const RetrySettings& settings, const std::string& last_reason) {
  // RFC 3463 §3.5: 4.4.7, delivery time expired.
  std::string text = "not delivered within " + format_duration(settings.lifetime_max) +
                     ", which is as long as the relay tries";
  if (!last_reason.empty()) text += "; last reason: " + last_reason;
  return {Outcome::Kind::failed, "4.4.7", std::move(text)};
}

// RFC 3461 §4.1: without NOTIFY failures are reported, and delays may be.
bool wants_failure_report(const smtp::ReversePath& sender, const smtp::NotifyWishes& notify) {
  return wants(sender, notify, notify.failure, true);
}

bool wants_delay_report(const smtp::ReversePath& sender, const smtp::NotifyWishes& notify) {
  return wants(sender, notify, notify.delay, true);
}

bool wants_success_report(const smtp::ReversePath& sender, const smtp::NotifyWishes& notify) {
  return wants(sender, notify, notify.success, false);
}

}  // namespace postern::queue
