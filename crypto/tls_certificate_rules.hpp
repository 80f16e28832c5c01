// What a server's certificate must be beyond what mbedTLS checks, and the words for what is wrong
// with it.
//
// Why: mbedTLS 3.6.6 takes the common name when there is no subjectAltName, accepts some malformed
// basicConstraints as a CA, and does not enforce the signature profile on every certificate of a
// chain. Promise: the rules only ever add refusals, never lift one of mbedTLS. Sharp edge: private
// to crypto; lives as long as the engine whose mbedTLS configuration points at it.
#pragma once

#include <mbedtls/x509_crt.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"

namespace postern::crypto {

class CertificateRules {
 public:
  CertificateRules(const mbedtls_x509_crt& roots, std::string_view host, WallTime now);

  [[nodiscard]] bool host_is_address() const { return address_bytes_ != 0; }
  [[nodiscard]] bool leaf_accepted() const { return leaf_accepted_; }
  // Empty while nothing is wrong.
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // mbedTLS's callback: from the root (or what came closest to one) down to the leaf at depth 0.
  static int verify(void* rules, mbedtls_x509_crt* certificate, int depth, std::uint32_t* flags);

 private:
  void check(const mbedtls_x509_crt& certificate, int depth, std::uint32_t& flags);
  [[nodiscard]] bool is_root(const mbedtls_x509_crt& certificate) const;
  [[nodiscard]] bool names_host(const mbedtls_x509_crt& leaf) const;
  [[nodiscard]] std::string describe(const mbedtls_x509_crt& certificate, int depth,
                                     std::uint32_t flags) const;

  const mbedtls_x509_crt& roots_;
  std::string host_;
  std::array<std::byte, 16> address_{};
  std::size_t address_bytes_ = 0;  // 4, 16, or 0 for a DNS name
  WallTime now_;
  bool leaf_accepted_ = false;
  std::string problem_;
};

// No clock that is right shows less while this release runs. A box that lost its time would
// otherwise take certificates that ended long ago (RFC 9525 §6, RFC 5280 §6.1.3). Raise it now and
// then.
inline constexpr WallTime clock_plausible_from =
    std::chrono::sys_days(std::chrono::year(2026) / 11 / 1);

// RFC 9525 §6.3: ASCII case is ignored; "*" stands for exactly one whole left-most label, and at
// least two labels follow it.
[[nodiscard]] bool dns_name_matches(std::string_view pattern, std::string_view host);

// RFC 5280 §4.2.1.9: exactly one basicConstraints, in DER, that says cA TRUE.
[[nodiscard]] bool says_ca_in_der(const mbedtls_x509_crt& certificate);

// The signature's hash and the key's strength; for every certificate but the trusted root.
[[nodiscard]] std::uint32_t profile_problems(const mbedtls_x509_crt& certificate);

}  // namespace postern::crypto
