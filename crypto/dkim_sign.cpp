// Writing the DKIM-Signature field; declared with its promise in crypto/dkim.hpp.
//
// The field is folded before it is signed: relaxed canonicalisation makes each fold one space, and
// a verifier computes over the field as it was sent. Only b= is filled in afterwards (RFC 6376
// §3.7).
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "crypto/dkim.hpp"
#include "crypto/dkim_canonical.hpp"
#include "crypto/dkim_key_parts.hpp"
#include "relay/base/encoding.hpp"

namespace postern::crypto {

namespace {

constexpr std::size_t line_columns_max = 77;  // RFC 5322 §2.1.1 wants at most 78 without the CRLF

std::string fold_names(const std::vector<std::string>& names) {
  std::string text = "\th=";
  std::size_t column = text.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string piece = names[i] + (i + 1 == names.size() ? ";" : ":");
    if (column + piece.size() > line_columns_max) {
      text += "\r\n\t";
      column = 1;
    }
    text += piece;
    column += piece.size();
  }
  return text;
}

std::string fold_base64(std::string_view base64, std::size_t column) {
  std::string text;
  while (!base64.empty()) {
    const std::size_t take = std::min(base64.size(), line_columns_max - column);
    text += base64.substr(0, take);
    base64.remove_prefix(take);
    if (!base64.empty()) text += "\r\n\t";
    column = 1;
  }
  return text;
}

Sha256Digest hash_fields(const SignedFields& chosen, std::string_view unsigned_field) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  const auto add = [&](const std::string& text) {
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size());
  };
  for (const std::string_view field : chosen.fields) {
    std::string canonical = canonical_field(field);
    if (!canonical.ends_with("\r\n")) canonical += "\r\n";
    add(canonical);
  }
  add(canonical_field(unsigned_field));  // §3.7: without a CRLF at the end
  Sha256Digest digest{};
  crypto_hash_sha256_final(&state, reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

Result<std::string> DkimKey::sign(std::span<const std::string_view> fields,
                                  const Sha256Digest& body_hash, std::int64_t unix_seconds) const {
  const auto chosen = choose_signed_fields(fields);
  if (!chosen) return std::unexpected(chosen.error());
  const bool rsa = parts_->algorithm == DkimAlgorithm::rsa_sha256;
  std::string field = fmt::format(
      "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n\td={};\r\n\ts={}; t={};\r\n"
      "{}\r\n\tbh={};\r\n\tb=",
      rsa ? "rsa-sha256" : "ed25519-sha256", parts_->domain, parts_->selector, unix_seconds,
      fold_names(chosen->names), encode_base64(body_hash));
  const Sha256Digest digest = hash_fields(*chosen, field);
  Result<Bytes> signature(std::in_place, crypto_sign_BYTES);
  if (rsa) {
    signature = parts_->rsa->sign(digest);
    if (!signature) return std::unexpected(signature.error());
  } else {
    // RFC 8463 §3: PureEdDSA over the SHA-256 of the header data.
    crypto_sign_detached(reinterpret_cast<unsigned char*>(signature->data()), nullptr,
                         reinterpret_cast<const unsigned char*>(digest.data()), digest.size(),
                         reinterpret_cast<const unsigned char*>(parts_->ed25519.view().data()));
  }
  constexpr std::size_t column_after_b = 3;  // "\tb="
  field += fold_base64(encode_base64(*signature), column_after_b);
  field += "\r\n";
  return field;
}

}  // namespace postern::crypto
