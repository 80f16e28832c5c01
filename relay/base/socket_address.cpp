// IPv4 and IPv6 addresses to and from text.
//
// Sharp edge: inet_pton wants a terminated string, so text is copied into a bounded buffer first;
// one with a NUL inside is refused, because it would be read only up to there.
#include "relay/base/socket_address.hpp"

#include <arpa/inet.h>

#include <algorithm>

#include "relay/base/text.hpp"

namespace postern {

namespace {

constexpr std::size_t ipv4_octets = 4;
constexpr std::size_t port_digits_max = 5;

// RFC 4291 §2.5.5.2: ::ffff:192.0.2.1 is the IPv4 device 192.0.2.1.
bool is_ipv4_mapped(const std::array<std::uint8_t, 16>& octets) {
  return std::all_of(octets.begin(), octets.begin() + 10, [](std::uint8_t o) { return o == 0; }) &&
         octets[10] == 0xFF && octets[11] == 0xFF;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.empty() || text.size() >= terminated.size()) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  std::ranges::copy(text, terminated.begin());
  IpAddress result;
  if (inet_pton(AF_INET, terminated.data(), result.octets.data()) == 1) return result;
  if (inet_pton(AF_INET6, terminated.data(), result.octets.data()) != 1) return std::nullopt;
  if (!is_ipv4_mapped(result.octets)) {
    result.is_ipv6 = true;
    return result;
  }
  IpAddress mapped;
  std::copy_n(result.octets.begin() + 12, ipv4_octets, mapped.octets.begin());
  return mapped;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  // RFC 5952 for IPv6. It fails only for a buffer that is too small, which this one is not.
  inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, octets.data(), buffer.data(), buffer.size());
  return buffer.data();
}

bool IpAddress::is_loopback() const {
  if (!is_ipv6) return octets[0] == 127;  // RFC 1122 §3.2.1.3: all of 127/8
  return std::all_of(octets.begin(), octets.end() - 1, [](std::uint8_t o) { return o == 0; }) &&
         octets[15] == 1;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (port_text.size() > port_digits_max) return std::nullopt;
  const auto port = parse_decimal<std::uint16_t>(port_text);
  if (!port) return std::nullopt;
  // Brackets if and only if it is written as IPv6: "::1:25" could be read in two ways.
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  const auto address = IpAddress::parse(host);
  if (!address) return std::nullopt;
  return SocketAddress{*address, *port};
}

std::string SocketAddress::text() const {
  const std::string host = address.text();
  return (address.is_ipv6 ? "[" + host + "]:" : host + ":") + std::to_string(port);
}

}  // namespace postern
