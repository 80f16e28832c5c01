// An IPv4 or IPv6 address with a port, and address blocks (CIDR), as values.
//
// Promise: an IPv4-mapped IPv6 address becomes IPv4, so that limits and log lines see one device
// once.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

struct IpAddress {
  bool is_ipv6 = false;
  std::array<std::uint8_t, 16> octets{};  // IPv4: the first four
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_loopback() const;
  auto operator<=>(const IpAddress&) const = default;
};

struct SocketAddress {
  IpAddress address;
  std::uint16_t port = 0;
  // "127.0.0.1:587", "[::]:465".
  [[nodiscard]] static std::optional<SocketAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const SocketAddress&) const = default;
};

}  // namespace postern
