// Encodings that several floors need: base64, lower-case hexadecimal and international
// addresses in ASCII.
//
// Promise: decoders are strict (alphabet, length, padding, no stray bits) and return nothing
// otherwise.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "relay/base/bytes.hpp"

namespace postern {

[[nodiscard]] std::string encode_base64(ByteView bytes);                  // RFC 4648 §4
[[nodiscard]] std::optional<Bytes> decode_base64(std::string_view text);  // padding required
[[nodiscard]] std::string encode_hex(ByteView bytes);
[[nodiscard]] std::optional<Bytes> decode_hex(std::string_view text);
// RFC 6533 §3 utf-8-addr-xtext: an international address in ASCII, "\x{E4}" for what is outside of
// it. `address` is valid UTF-8.
[[nodiscard]] std::string encode_utf8_address(std::string_view address);

}  // namespace postern
