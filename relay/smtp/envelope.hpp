// The envelope of one mail transaction: what MAIL and RCPT said, with the parameters that travel
// on.
//
// Promise: everything here was parsed and bounded by the grammar; delivery sends it on without
// looking back at the device's words. DSN parameters are kept across hops (RFC 3461 §4, §5.2.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "relay/smtp/address.hpp"

namespace postern::smtp {

enum class BodyType { seven_bit, eight_bit_mime };  // RFC 6152
enum class DsnReturn { full, headers };             // RFC 3461 §4.3

struct NotifyWishes {  // RFC 3461 §4.1; `given` false: the default, which is failure (and delay)
  bool given = false;
  bool never = false;
  bool success = false;
  bool failure = false;
  bool delay = false;
  bool operator==(const NotifyWishes&) const = default;
};

struct Sender {
  ReversePath reverse_path;
  std::optional<std::uint64_t> declared_bytes;  // RFC 1870 SIZE=
  BodyType body = BodyType::seven_bit;
  bool smtputf8 = false;     // RFC 6531
  bool require_tls = false;  // RFC 8689
  std::optional<DsnReturn> dsn_return;
  std::optional<std::string> envelope_id;  // RFC 3461 §4.4, decoded from xtext
};

struct Recipient {
  Mailbox mailbox;
  NotifyWishes notify;
  std::optional<std::string>
      original_recipient;  // RFC 3461 §4.2: "rfc822;addr", decoded from xtext
};

struct Envelope {
  Sender sender;
  std::vector<Recipient> recipients;
};

}  // namespace postern::smtp
