// Whose address counts as one for limits: the whole IPv4 address, the first 64 bits of an IPv6 one.
//
// Promise: two addresses of the same /64 give the same key, because one device owns a whole /64 and
// would otherwise have 2^64 fresh starts (RFC 4291 §2.5.4, RFC 6177 §2).
#pragma once

#include <algorithm>
#include <cstddef>

#include "relay/base/socket_address.hpp"

namespace postern::policy {

inline constexpr std::size_t ipv6_network_octets = 8;

[[nodiscard]] inline IpAddress address_key(IpAddress address) {
  const std::size_t kept = address.is_ipv6 ? ipv6_network_octets : 4;
  std::fill(address.octets.begin() + static_cast<std::ptrdiff_t>(kept), address.octets.end(),
            std::uint8_t{0});
  return address;
}

}  // namespace postern::policy
