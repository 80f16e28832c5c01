// Says in an operator's words why TLS with a peer failed. Private to crypto.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relay/base/error.hpp"

namespace postern::crypto {

struct TlsFailure {
  int code = 0;         // mbedTLS's
  bool server = false;  // which end we are
  bool handshake_done = false;
  std::string_view host = {};                        // whom a client engine talks to
  std::optional<std::uint8_t> alert = std::nullopt;  // what the peer sent, for a fatal alert
  std::uint16_t offered_version = 0;                 // of the peer's ClientHello, 0 when unknown
  bool asks_on_and_on = false;                       // for more answers than a connection gets
  bool plain_text = false;                           // the peer's first octets were no TLS
  std::string_view certificate_problem = {};         // our rules' words
};

[[nodiscard]] Error tls_error(const TlsFailure& failure);

// The registered name of a suite ("TLS_AES_128_GCM_SHA256"), which RFC 8314 §7.4 wants in a
// Received field, from mbedTLS's own ("TLS1-3-AES-128-GCM-SHA256").
[[nodiscard]] std::string standard_suite_name(std::string_view suite);

}  // namespace postern::crypto
