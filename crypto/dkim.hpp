// DKIM signatures: RFC 6376 with relaxed/relaxed, rsa-sha256 (RFC 8301, at least 2048 bits) and
// ed25519-sha256 (RFC 8463).
//
// Promise: never "l="; From and the other identity fields are oversigned, so that a field added on
// the way breaks the signature; the body is hashed while it streams. Sharp edge: header fields are
// signed as they will be sent: whatever changes after signing (dot-stuffing is undone by the
// receiver and does not count) breaks it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

using Sha256Digest = std::array<std::byte, 32>;

// Relaxed body canonicalisation (RFC 6376 §3.4.4) and SHA-256, streaming, constant memory.
class DkimBodyHasher {
 public:
  DkimBodyHasher();
  ~DkimBodyHasher();
  DkimBodyHasher(DkimBodyHasher&&) noexcept;
  DkimBodyHasher& operator=(DkimBodyHasher&&) noexcept;
  void update(ByteView body);           // CRLF lines, cut anywhere
  [[nodiscard]] Sha256Digest finish();  // once
 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

enum class DkimAlgorithm { rsa_sha256, ed25519_sha256 };

// A private key and what it signs for. Thread-safe for signing once made.
class DkimKey {
 public:
  // PEM, PKCS#8 or PKCS#1 for RSA (2048 to 4096 bits), PKCS#8 for Ed25519 (RFC 8410). The error
  // says what is wrong with the key.
  [[nodiscard]] static Result<std::shared_ptr<const DkimKey>> load(std::string domain,
                                                                   std::string selector,
                                                                   const Secret& pem);
  ~DkimKey();
  [[nodiscard]] const std::string& domain() const;  // lower case
  [[nodiscard]] const std::string& selector() const;
  [[nodiscard]] DkimAlgorithm algorithm() const;
  // The p= value of the DNS record: base64 of SubjectPublicKeyInfo for RSA, of the 32 octets for
  // Ed25519.
  [[nodiscard]] const std::string& public_key_base64() const;

  // The whole field "DKIM-Signature: …\r\n", folded. `fields` are the header's fields in order,
  // each with its CRLF. RSA takes 0.3 ms, several on small processors:
  // not on a loop thread.
  [[nodiscard]] Result<std::string> sign(std::span<const std::string_view> fields,
                                         const Sha256Digest& body_hash,
                                         std::int64_t unix_seconds) const;

 private:
  DkimKey();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

struct GeneratedDkimKey {
  Secret private_key_pem;
  std::string public_key_base64;
};
[[nodiscard]] Result<GeneratedDkimKey> generate_dkim_key(
    DkimAlgorithm algorithm);  // RSA: 2048 bits

// "v=DKIM1; k=rsa; p=…" (the TXT record's text, whole).
[[nodiscard]] std::string dkim_record_text(DkimAlgorithm algorithm,
                                           std::string_view public_key_base64);

}  // namespace postern::crypto
