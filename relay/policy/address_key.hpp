// Whose address counts as one for limits: the whole IPv4 address, the first 64 bits of an IPv6 one,
// and the whole IPv6 address of a neighbour.
//
// Promise: two addresses of the same /64 give the same key, because one customer of a provider owns
// a whole /64 and would otherwise have 2^64 fresh starts (RFC 4291 §2.5.4, RFC 6177 §2). On our own
// network a /64 is many devices, and one that fails must not lock the others: link-local
// (RFC 4291 §2.5.6) and unique local addresses (RFC 4193 §3), and those in the /64 of the address
// of ours that was connected to, count whole. Sharp edge: a device there that changes its address
// has a fresh start; who is on the same wire can be found.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>

#include "relay/base/socket_address.hpp"

namespace postern::policy {

inline constexpr std::size_t ipv6_network_octets = 8;

class AddressKey {
 public:
  // `local` is the connection's own address; left out, every global address counts by /64.
  // Implicit: wherever a key is wanted, an address alone makes one.
  AddressKey(const IpAddress& address, const IpAddress& local = {}) : kept_(address) {
    if (!address.is_ipv6 || is_neighbour(address, local)) return;
    std::fill(kept_.octets.begin() + ipv6_network_octets, kept_.octets.end(), std::uint8_t{0});
  }
  auto operator<=>(const AddressKey&) const = default;

 private:
  [[nodiscard]] static bool is_neighbour(const IpAddress& address, const IpAddress& local) {
    const auto& octets = address.octets;
    const bool link_local = octets[0] == 0xFE && (octets[1] & 0xC0) == 0x80;  // fe80::/10
    const bool unique_local = (octets[0] & 0xFE) == 0xFC;                     // fc00::/7
    return link_local || unique_local ||
           (local.is_ipv6 &&
            std::equal(octets.begin(), octets.begin() + ipv6_network_octets, local.octets.begin()));
  }
  IpAddress kept_;
};

}  // namespace postern::policy
