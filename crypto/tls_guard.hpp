// Looks at what a server says in clear before mbedTLS does, and at whether it speaks TLS at all.
//
// Why: mbedTLS 3.6.6 takes a ServerHello without supported_versions whose legacy_version is 0x0304
// for TLS 1.3 and ends with a session that has no secret keys (CVE-2026-115490). RFC 8446 §4.1.3
// and RFC 5246 §7.4.1.3 allow no ServerHello but with 0x0303, so any other is refused here.
//
// Promise: constant memory, works over any cutting of the input, and looks at nothing after the
// ServerHello that counts (the one that is no HelloRetryRequest). A ChangeCipherSpec does not end
// the looking: mbedTLS skips one before the ServerHello, and so would be the way around this guard.
// Sharp edge: the beginning of a ServerHello must lie in one record; no server cuts it, and a cut
// is where two parsers may disagree.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/bytes.hpp"

namespace postern::crypto {

class ServerHelloGuard {
 public:
  enum class Verdict {
    pass,
    plain_text,   // the first octet is no TLS record's
    old_version,  // SSL 3.0, TLS 1.0 or TLS 1.1; see version()
    forged,       // what no honest server sends
  };

  // Gives octets from the server, in order. After anything but `pass` the connection must end.
  [[nodiscard]] Verdict inspect(ByteView from_server);
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] std::uint16_t version() const { return version_; }

 private:
  [[nodiscard]] Verdict take_record_header();
  [[nodiscard]] Verdict take_message_octet(std::byte octet);
  [[nodiscard]] Verdict judge_server_hello();

  // Type, length (4), legacy_version (2), random (32): all that is looked at.
  static constexpr std::size_t hello_start_bytes = 38;
  static constexpr std::size_t record_header_bytes = 5;

  bool done_ = false;
  bool any_record_ = false;
  bool retry_seen_ = false;
  std::array<std::byte, record_header_bytes> record_header_{};
  std::size_t record_header_have_ = 0;
  std::size_t record_left_ = 0;
  bool record_is_handshake_ = false;
  std::array<std::byte, hello_start_bytes> start_{};
  std::size_t start_have_ = 0;
  std::size_t message_left_ = 0;
  std::uint16_t version_ = 0;
};

// "TLS 1.0" for 0x0301 and so on.
[[nodiscard]] std::string_view tls_version_name(std::uint16_t version);

}  // namespace postern::crypto
