// Failed logins slow an address down and then lock it; never the user from elsewhere.
//
// Promise: the same for known and unknown users. The nth failure of an address makes its next
// answer wait (1 s, 2 s, 4 s … at most 8 s); from failures_max on the address is locked (1 minute,
// doubling to 1 hour). A success forgives what that user name failed at and nothing else: whoever
// has one credential has no more guesses at the others. All is forgotten failures_kept after the
// last failure. IPv6 counts by /64 except among neighbours (address_key.hpp). Bounded by
// addresses_max, each with user_names_max names; when full the oldest entry that is not locked goes
// first. Sharp edge: failures at names beyond user_names_max are forgotten by time only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "relay/base/clock.hpp"
#include "relay/policy/address_key.hpp"

namespace postern::policy {

// Longer than any lock, so that waiting for it is worth failures_max guesses a day.
inline constexpr Duration failures_kept = std::chrono::hours(24);
// A person tries a few names; with names of 255 octets an entry stays below 2 KiB.
inline constexpr std::size_t user_names_max = 4;

class LoginGuard {
 public:
  explicit LoginGuard(std::uint32_t failures_max, std::size_t addresses_max = 4'096);
  void set_failures_max(std::uint32_t failures_max) { failures_max_ = failures_max; }
  [[nodiscard]] bool locked(const AddressKey& address, MonotonicTime now) const;
  // Returns how long the answer should be held back.
  [[nodiscard]] Duration failed(const AddressKey& address, std::string_view user_name,
                                MonotonicTime now);
  void succeeded(const AddressKey& address, std::string_view user_name);

 private:
  struct Entry {
    std::uint32_t failures = 0;
    std::uint32_t locks = 0;
    MonotonicTime last;
    MonotonicTime locked_until;
    std::map<std::string, std::uint32_t, std::less<>> by_user_name;
  };
  void make_room(MonotonicTime now);
  std::map<AddressKey, Entry> entries_;
  std::uint32_t failures_max_;
  std::size_t addresses_max_;
};

}  // namespace postern::policy
