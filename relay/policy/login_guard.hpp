// Failed logins slow an address down and then lock it; never the user from elsewhere.
//
// Promise: the same for known and unknown users. The nth failure of an address makes its next
// answer wait (1 s, 2 s, 4 s … at most 8 s); from failures_max on the address is locked (1 minute,
// doubling to 1 hour). A success forgets the address. IPv6 counts by /64 except among neighbours
// (address_key.hpp). Bounded by addresses_max; when full the oldest entry that is not locked goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "relay/base/clock.hpp"
#include "relay/policy/address_key.hpp"

namespace postern::policy {

class LoginGuard {
 public:
  explicit LoginGuard(std::uint32_t failures_max, std::size_t addresses_max = 4'096);
  void set_failures_max(std::uint32_t failures_max) { failures_max_ = failures_max; }
  [[nodiscard]] bool locked(const AddressKey& address, MonotonicTime now) const;
  // Returns how long the answer should be held back.
  [[nodiscard]] Duration failed(const AddressKey& address, MonotonicTime now);
  void succeeded(const AddressKey& address);

 private:
  struct Entry {
    std::uint32_t failures = 0;
    std::uint32_t locks = 0;
    MonotonicTime last;
    MonotonicTime locked_until;
  };
  std::map<AddressKey, Entry> entries_;
  std::uint32_t failures_max_;
  std::size_t addresses_max_;
};

}  // namespace postern::policy
