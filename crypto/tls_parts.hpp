// What the TLS contexts hold; private to the files that make them and the engine that uses them.
#pragma once

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>

#include "crypto/mbedtls_support.hpp"
#include "crypto/tls.hpp"

namespace postern::crypto {

struct TlsServerContext::Parts {
  Parts() { mbedtls_ssl_ticket_init(&tickets); }
  ~Parts() { mbedtls_ssl_ticket_free(&tickets); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  Certificates certificate;
  PrivateKey key;
  // Two keys that take turns; mbedTLS guards them by a mutex of its own.
  mbedtls_ssl_ticket_context tickets;
  TlsVersion version_min = TlsVersion::tls_1_2;
};

struct TlsClientContext::Parts {
  Certificates roots;
  std::shared_ptr<const TlsServerContext> expected;  // when set, its chain and no other
  TlsVersion version_min = TlsVersion::tls_1_2;
};

// The rules of RFC 9325 that hold for both ends: versions, suites, groups, signatures, no
// renegotiation. Each engine has a mbedtls_ssl_config of its own (a few hundred octets), because
// the callbacks of a config are told nothing about the connection that calls them.
[[nodiscard]] int configure_tls(mbedtls_ssl_config& config, int endpoint, TlsVersion version_min);

// What a certificate may be signed with and by: SHA-256 and up, RSA of at least 2048 bits, NIST
// curves.
[[nodiscard]] const mbedtls_x509_crt_profile& certificate_profile();

}  // namespace postern::crypto
