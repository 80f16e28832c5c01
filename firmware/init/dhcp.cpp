// DHCP messages; see the header.
#include "firmware/init/dhcp.hpp"

#include <algorithm>

namespace postern::firmware {

namespace {

// RFC 2131 section 2, figure 1.
constexpr std::size_t transaction_at = 4, flags_at = 10, address_at = 16, hardware_at = 28,
                      cookie_at = 236, options_at = 240;
constexpr std::array<std::uint8_t, 4> cookie = {99, 130, 83, 99};  // RFC 2132 section 2
constexpr std::size_t message_bytes_min = 300;  // RFC 1542 section 2.1: relays drop shorter ones
constexpr std::size_t servers_max = 4;

// RFC 2132 options.
constexpr std::uint8_t option_pad = 0, option_mask = 1, option_router = 3, option_name_servers = 6,
                       option_time_servers = 42, option_requested = 50, option_lease = 51,
                       option_kind = 53, option_server = 54, option_wanted = 55, option_end = 255;

void put_number(std::vector<std::uint8_t>& message, std::size_t at, std::uint32_t number) {
  for (std::size_t i = 0; i < 4; ++i)
    message[at + i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
}

std::uint32_t number_at(std::span<const std::uint8_t> message, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = (number << 8) | message[at + i];
  return number;
}

Ipv4 ipv4_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  return {bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]};
}

void read_servers(std::span<const std::uint8_t> value, std::vector<Ipv4>& into) {
  for (std::size_t at = 0; at + 4 <= value.size() && into.size() < servers_max; at += 4)
    into.push_back(ipv4_at(value, at));
}

bool take_option(std::uint8_t code, std::span<const std::uint8_t> value, DhcpLease& lease) {
  const bool address = value.size() >= 4;
  switch (code) {
    case option_kind:
      if (value.size() != 1) return false;
      lease.kind = static_cast<DhcpKind>(value[0]);
      return true;
    case option_mask:
      if (address) lease.mask = ipv4_at(value, 0);
      return address;
    case option_router:
      if (address) lease.router = ipv4_at(value, 0);
      return address;
    case option_server:
      if (address) lease.server = ipv4_at(value, 0);
      return address;
    case option_lease:
      if (address) lease.seconds = number_at(value, 0);
      return address;
    case option_name_servers:
      read_servers(value, lease.name_servers);
      return true;
    case option_time_servers:
      read_servers(value, lease.time_servers);
      return true;
    default:
      return true;
  }
}

}  // namespace

std::vector<std::uint8_t> dhcp_message(DhcpKind kind, std::uint32_t transaction,
                                       const HardwareAddress& hardware, const DhcpLease* chosen) {
  std::vector<std::uint8_t> message(options_at, 0);
  message[0] = 1;  // BOOTREQUEST
  message[1] = 1;  // Ethernet
  message[2] = static_cast<std::uint8_t>(hardware.size());
  put_number(message, transaction_at, transaction);
  message[flags_at] = 0x80;  // section 4.1: answer by broadcast, we have no address yet
  std::ranges::copy(hardware, message.begin() + hardware_at);
  std::ranges::copy(cookie, message.begin() + cookie_at);
  const auto option = [&message](std::uint8_t code, std::span<const std::uint8_t> value) {
    message.push_back(code);
    message.push_back(static_cast<std::uint8_t>(value.size()));
    message.insert(message.end(), value.begin(), value.end());
  };
  option(option_kind, std::array{static_cast<std::uint8_t>(kind)});
  if (chosen != nullptr) {
    option(option_requested, chosen->address);
    option(option_server, chosen->server);
  }
  option(option_wanted,
         std::array{option_mask, option_router, option_name_servers, option_time_servers});
  message.push_back(option_end);
  message.resize(std::max(message.size(), message_bytes_min), 0);
  return message;
}

std::optional<DhcpLease> read_dhcp_reply(std::span<const std::uint8_t> message,
                                         std::uint32_t transaction,
                                         const HardwareAddress& hardware) {
  if (message.size() < options_at || message[0] != 2) return std::nullopt;
  if (number_at(message, transaction_at) != transaction) return std::nullopt;
  if (!std::ranges::equal(message.subspan(hardware_at, hardware.size()), hardware))
    return std::nullopt;
  if (!std::ranges::equal(message.subspan(cookie_at, cookie.size()), cookie)) return std::nullopt;
  DhcpLease lease;
  lease.address = ipv4_at(message, address_at);
  bool has_kind = false;
  for (std::size_t at = options_at; at < message.size() && message[at] != option_end;) {
    if (message[at] == option_pad) {
      ++at;
      continue;
    }
    if (at + 2 > message.size() || at + 2 + message[at + 1] > message.size()) return std::nullopt;
    if (!take_option(message[at], message.subspan(at + 2, message[at + 1]), lease))
      return std::nullopt;
    has_kind = has_kind || message[at] == option_kind;
    at += 2U + message[at + 1];
  }
  if (!has_kind || lease.seconds == 0) return std::nullopt;
  return lease;
}

}  // namespace postern::firmware
