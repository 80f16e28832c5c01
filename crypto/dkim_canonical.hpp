// Relaxed header canonicalisation and the list of fields that a signature of ours covers.
//
// Private to crypto. Promise: pure functions over whole fields; what they give is what a verifier
// computes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/error.hpp"

namespace postern::crypto {

// RFC 6376 §3.4.2: "Subject : a \r\n  b\r\n" becomes "subject:a b" with its CRLF. The field may
// lack the final CRLF (the signature's own does); then none is written.
[[nodiscard]] std::string canonical_field(std::string_view field);

struct SignedFields {
  std::vector<std::string> names;  // h=, in order, with the oversigned repetitions
  std::vector<std::string_view>
      fields;  // what is hashed, in the same order without the missing ones
};

// Fails without a From field (RFC 6376 §5.4 obliges it) or with more repetitions than a header may
// have.
[[nodiscard]] Result<SignedFields> choose_signed_fields(std::span<const std::string_view> fields);

}  // namespace postern::crypto
