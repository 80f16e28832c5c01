// How many connections may be open: in all, and from one address.
//
// Promise: only accepted connections count; a lower limit after a reload closes none and accepts no
// more until enough have gone. IPv6 counts by /64 except among neighbours (address_key.hpp).
// Bounded: only addresses with an open connection are kept. Sharp edge: every accepted opened()
// wants its closed(), with the same key.
#pragma once

#include <cstddef>
#include <map>

#include "relay/policy/address_key.hpp"

namespace postern::policy {

class ConnectionLimits {
 public:
  ConnectionLimits(std::size_t connections_max, std::size_t per_address_max)
      : connections_max_(connections_max), per_address_max_(per_address_max) {}
  enum class Verdict { accepted, too_many, too_many_from_address };
  [[nodiscard]] Verdict opened(const AddressKey& address);  // counts only when accepted
  void closed(const AddressKey& address);
  void configure(std::size_t connections_max, std::size_t per_address_max);
  [[nodiscard]] std::size_t open() const { return open_; }

 private:
  std::map<AddressKey, std::size_t> by_address_;
  std::size_t open_ = 0;
  std::size_t connections_max_;
  std::size_t per_address_max_;
};

}  // namespace postern::policy
