// What the upstream said it can do, read once from its answer to EHLO (RFC 5321 §4.1.1.1).
//
// Promise: keywords and mechanisms are compared without case; a parameter that makes no sense is as
// if it were not there. Sharp edge: what was said in clear is worth nothing after the handshake
// (RFC 3207 §4.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "relay/smtp/reply.hpp"

namespace postern::smtp {

struct DeliveryCapabilities {
  bool starttls = false;
  bool pipelining = false;
  bool eight_bit_mime = false;
  bool smtputf8 = false;
  bool dsn = false;
  bool require_tls = false;
  bool auth = false;  // AUTH with any mechanism
  bool auth_plain = false;
  bool auth_login = false;
  bool size = false;
  std::optional<std::uint64_t>
      message_bytes_max;                        // RFC 1870 §4: 0 and nothing mean "no fixed limit"
  std::optional<std::size_t> recipients_max;    // RFC 9422 RCPTMAX
  std::optional<std::size_t> transactions_max;  // RFC 9422 MAILMAX

  [[nodiscard]] static DeliveryCapabilities parse(const Reply& ehlo_reply);
};

}  // namespace postern::smtp
