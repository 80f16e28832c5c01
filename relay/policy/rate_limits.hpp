// Per-user rates as token buckets, and their survival over a restart.
//
// Promise: a bucket of `max` tokens that refills evenly over its period (a minute or a day), on the
// monotonic clock; a refusal says when to come back (450 4.7.1 for messages a minute, 452 4.7.1 for
// the day's amounts); what is more than a whole bucket can never pass and gets 550 5.7.1. save()
// and restore() carry the levels over a restart with the wall clock, which may only refill what the
// time away explains and never more than a full bucket; a clock set back refills nothing.
// Bounded: only configured users have buckets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/policy/token_bucket.hpp"
#include "relay/policy/user.hpp"
#include "relay/smtp/reply.hpp"

namespace postern::policy {

class RateLimits {
 public:
  // Takes the new settings; buckets of users that stay keep their level (never above the new
  // maximum).
  void configure(const UserDirectory& users, MonotonicTime now);
  // At MAIL: one message; the day's bytes are only looked at (declared size, 0 when unknown).
  [[nodiscard]] std::optional<smtp::Reply> take_message(std::string_view user,
                                                        std::uint64_t declared_bytes,
                                                        MonotonicTime now);
  [[nodiscard]] std::optional<smtp::Reply> take_recipient(std::string_view user, MonotonicTime now);
  // At the final dot, with the true size.
  [[nodiscard]] std::optional<smtp::Reply> take_bytes(std::string_view user, std::uint64_t bytes,
                                                      MonotonicTime now);

  // One line a user, for the store's counters; restore ignores what it does not understand.
  [[nodiscard]] std::string save(std::string_view user, Now now) const;
  void restore(std::string_view user, std::string_view saved, Now now);
  // Whose line is not what it was at the last forget_changes(). Refilling is no change: restore()
  // works it out from the time away.
  [[nodiscard]] std::vector<std::string> changed_users() const;
  void forget_changes();

 private:
  struct Buckets {
    std::optional<TokenBucket> messages;
    std::optional<TokenBucket> recipients;
    std::optional<TokenBucket> bytes;
    bool changed = false;
  };
  std::map<std::string, Buckets, std::less<>> users_;
};

}  // namespace postern::policy
