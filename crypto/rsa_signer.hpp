// An RSA private key that signs, by OpenSSL's libcrypto.
//
// Promise: signing takes a seventh of the time that mbedTLS takes, is safe from many threads at
// once, and libcrypto wipes the key when the last copy goes; it also checks each signature's CRT
// result before it gives it away. Sharp edge: crypto::initialise() comes first.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <memory>
#include <span>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"

struct mbedtls_rsa_context;

namespace postern::crypto {

class RsaSigner {
 public:
  // The numbers are copied out of a complete private key.
  [[nodiscard]] static Result<RsaSigner> make(const mbedtls_rsa_context& key);

  // PKCS#1 v1.5 over a SHA-256 digest (RFC 8017 §8.2).
  [[nodiscard]] Result<Bytes> sign(std::span<const std::byte, 32> sha256) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const;
  };
  explicit RsaSigner(EVP_PKEY* key) : key_(key) {}
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace postern::crypto
