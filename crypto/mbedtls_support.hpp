// What every mbedTLS user of this folder needs: owners for its handles, its random source, its
// error words.
//
// Promise: a handle is initialised when it exists and freed when it goes; the random source is
// libsodium's, which needs no lock and no seeding of ours. Sharp edge: private to this folder;
// nobody else includes it.
#pragma once

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include <cstddef>
#include <string>

#include "relay/base/secret.hpp"

namespace postern::crypto {

// mbedTLS's callback shape; never fails (libsodium ends the process when the kernel gives no
// randomness).
int mbedtls_random(void* unused, unsigned char* out, std::size_t size);

// mbedTLS parses PEM only with a terminating NUL inside the length.
[[nodiscard]] Secret with_terminator(const Secret& text);

// "X509 - The CRT/CRL/CSR format is invalid, e.g. different type expected (-0x2180)"
[[nodiscard]] std::string mbedtls_words(int code);

struct Certificates {
  Certificates() { mbedtls_x509_crt_init(&chain); }
  ~Certificates() { mbedtls_x509_crt_free(&chain); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  mbedtls_x509_crt chain;
};

struct PrivateKey {
  PrivateKey() { mbedtls_pk_init(&key); }
  ~PrivateKey() { mbedtls_pk_free(&key); }
  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  mbedtls_pk_context key;
};

}  // namespace postern::crypto
