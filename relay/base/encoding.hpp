// Encodings that several floors need: base64 and lower-case hexadecimal.
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

}  // namespace postern
