// Private to relay/net: SocketAddress to and from the operating system's sockaddr.
//
// Promise: an IPv4-mapped IPv6 address (a dual-stack listener's peer) becomes IPv4.
#pragma once

#include <sys/socket.h>

#include <optional>

#include "relay/base/socket_address.hpp"

namespace postern::net {

struct OsAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

[[nodiscard]] OsAddress to_os_address(const SocketAddress& address);
// Nothing for a family that is neither IPv4 nor IPv6.
[[nodiscard]] std::optional<SocketAddress> from_os_address(const sockaddr* address);
// Of a socket's own end and of its peer.
[[nodiscard]] std::optional<SocketAddress> own_address(int descriptor);
[[nodiscard]] std::optional<SocketAddress> peer_address(int descriptor);

}  // namespace postern::net
