// DHCP as a client (RFC 2131, 2132): the messages only; network.cpp sends them.
//
// Promise: an answer is taken only when it is a whole reply to our transaction and our hardware
// address; lengths are checked before anything is read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "firmware/init/interface_settings.hpp"

namespace postern::firmware {

using HardwareAddress = std::array<std::uint8_t, 6>;

enum class DhcpKind : std::uint8_t {
  discover = 1,
  offer = 2,
  request = 3,
  acknowledge = 5,
  refuse = 6
};

struct DhcpLease : InterfaceSettings {
  DhcpKind kind = DhcpKind::offer;
  Ipv4 server{};
  std::uint32_t seconds = 3600;
};

// `chosen`: the offer that a request answers (RFC 2131 section 4.3.2, SELECTING).
[[nodiscard]] std::vector<std::uint8_t> dhcp_message(DhcpKind kind, std::uint32_t transaction,
                                                     const HardwareAddress& hardware,
                                                     const DhcpLease* chosen);
[[nodiscard]] std::optional<DhcpLease> read_dhcp_reply(std::span<const std::uint8_t> message,
                                                       std::uint32_t transaction,
                                                       const HardwareAddress& hardware);

}  // namespace postern::firmware
