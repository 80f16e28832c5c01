// The guard before mbedTLS; see the header.
#include "crypto/tls_guard.hpp"

#include <algorithm>

#include "crypto/tls.hpp"

namespace postern::crypto {

namespace {

constexpr std::uint8_t record_change_cipher_spec = 20;
constexpr std::uint8_t record_handshake = 22;
constexpr std::uint8_t record_application_data = 23;
constexpr std::uint8_t message_client_hello = 1;
constexpr std::uint8_t message_server_hello = 2;
constexpr std::uint16_t legacy_version_required = 0x0303;
constexpr std::uint16_t ssl_3_0 = 0x0300;
constexpr std::size_t record_bytes_max = 16'384 + 256;  // RFC 8446 §5.2
constexpr std::size_t message_header_bytes = 4;
constexpr std::size_t version_at = 4;
constexpr std::size_t random_at = 6;

// RFC 8446 §4.1.3: this random makes a ServerHello a HelloRetryRequest, after which a ServerHello
// follows.
constexpr std::array<std::uint8_t, 32> retry_random = {
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C};

std::uint8_t number(std::byte octet) { return std::to_integer<std::uint8_t>(octet); }
std::uint16_t number(std::byte high, std::byte low) {
  return static_cast<std::uint16_t>(number(high) << 8 | number(low));
}

}  // namespace

ServerHelloGuard::Verdict ServerHelloGuard::inspect(ByteView from_server) {
  for (std::size_t at = 0; at < from_server.size() && !done_;) {
    Verdict verdict = Verdict::pass;
    if (record_left_ == 0) {
      record_header_[record_header_have_++] = from_server[at++];
      verdict = take_record_header();
    } else if (!record_is_handshake_) {
      const std::size_t skip = std::min(record_left_, from_server.size() - at);
      at += skip;
      record_left_ -= skip;
    } else {
      --record_left_;
      verdict = take_message_octet(from_server[at++]);
    }
    if (verdict != Verdict::pass) {
      done_ = true;
      return verdict;
    }
  }
  return Verdict::pass;
}

ServerHelloGuard::Verdict ServerHelloGuard::take_record_header() {
  const std::uint8_t type = number(record_header_[0]);
  if (type < record_change_cipher_spec || type > record_application_data) {
    return any_record_ ? Verdict::forged : Verdict::plain_text;
  }
  any_record_ = true;
  if (record_header_have_ < record_header_bytes) return Verdict::pass;
  record_header_have_ = 0;
  record_left_ = number(record_header_[3], record_header_[4]);
  record_is_handshake_ = type == record_handshake;
  if (record_left_ > record_bytes_max) return Verdict::forged;
  // Encrypted data before any ServerHello, or an empty handshake record (RFC 8446 §5.1 forbids it).
  if (type == record_application_data || (record_is_handshake_ && record_left_ == 0)) {
    return Verdict::forged;
  }
  // A message begun in the record before goes on in this one or not at all (RFC 8446 §5.1).
  if (!record_is_handshake_ && (start_have_ != 0 || message_left_ != 0)) {
    return Verdict::forged;
  }
  return Verdict::pass;
}

ServerHelloGuard::Verdict ServerHelloGuard::take_message_octet(std::byte octet) {
  if (message_left_ > 0) {
    --message_left_;
    return Verdict::pass;
  }
  start_[start_have_++] = octet;
  const bool server_hello = number(start_[0]) == message_server_hello;
  if (server_hello && start_have_ < hello_start_bytes) {
    return record_left_ == 0 ? Verdict::forged : Verdict::pass;
  }
  if (!server_hello && start_have_ < message_header_bytes) return Verdict::pass;
  const std::size_t length = std::size_t{number(start_[1])} << 16 | number(start_[2], start_[3]);
  const std::size_t body_have = start_have_ - message_header_bytes;
  if (length < body_have) return Verdict::forged;
  message_left_ = length - body_have;
  start_have_ = 0;
  return server_hello ? judge_server_hello() : Verdict::pass;
}

ServerHelloGuard::Verdict ServerHelloGuard::judge_server_hello() {
  version_ = number(start_[version_at], start_[version_at + 1]);
  if (version_ >= ssl_3_0 && version_ < legacy_version_required) return Verdict::old_version;
  if (version_ != legacy_version_required) return Verdict::forged;
  const bool retry =
      std::equal(retry_random.begin(), retry_random.end(), start_.begin() + random_at,
                 [](std::uint8_t expected, std::byte got) { return expected == number(got); });
  if (!retry) {
    done_ = true;
    return Verdict::pass;
  }
  return std::exchange(retry_seen_, true) ? Verdict::forged : Verdict::pass;
}

std::string_view tls_version_name(std::uint16_t version) {
  switch (version) {
    case 0x0300:
      return "SSL 3.0";
    case 0x0301:
      return "TLS 1.0";
    case 0x0302:
      return "TLS 1.1";
    case 0x0303:
      return "TLS 1.2";
    case 0x0304:
      return "TLS 1.3";
    default:
      return "an unknown version of TLS";
  }
}

bool looks_like_client_hello(ByteView first_octets) {
  // RFC 8446 §5.1, appendix D.4: a handshake record of version 3.x; then, where it is there, the
  // message type.
  constexpr std::size_t message_type_at = 5;
  if (first_octets.size() < 2 || number(first_octets[0]) != record_handshake ||
      number(first_octets[1]) != 3) {
    return false;
  }
  return first_octets.size() <= message_type_at ||
         number(first_octets[message_type_at]) == message_client_hello;
}

}  // namespace postern::crypto
