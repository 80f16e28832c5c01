// Certificates for tests, made on the spot: an authority and what it issues.
//
//   const TestAuthority authority;
//   const TestCertificate server = authority.issue("mail.example");
//   TlsServerSettings{server.certificate_pem, server.private_key_pem.clone()};
//   TlsClientSettings{authority.root_pem()};
//
// Keys are P-256 (fast); an option makes RSA ones. Sharp edge: needs crypto::initialise() before.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "relay/base/secret.hpp"

namespace postern::testing {

enum class TestHash { sha1, sha256 };
enum class TestKey { p256, rsa_1024, rsa_2048 };

struct TestCertificateOptions {
  std::string not_before = "20200101000000";  // YYYYMMDDhhmmss, UTC
  std::string not_after = "20991231235959";
  std::vector<std::string> dns_names = {};       // in place of the host's name
  std::vector<std::string> address_octets = {};  // iPAddress names, 4 or 16 octets each
  bool common_name_only = false;                 // no subjectAltName at all
  TestHash hash = TestHash::sha256;
  TestKey key = TestKey::p256;
};

struct TestCertificate {
  std::string certificate_pem;  // the leaf, then the intermediate where there is one
  Secret private_key_pem;
};

class TestAuthority {
 public:
  // What an intermediate's basicConstraints hold.
  enum class Constraint { ca, not_ca, missing, malformed };

  explicit TestAuthority(std::string name = "Test Root", TestHash hash = TestHash::sha256);
  ~TestAuthority();
  TestAuthority(TestAuthority&&) noexcept;
  TestAuthority& operator=(TestAuthority&&) noexcept;

  [[nodiscard]] const std::string& root_pem() const;
  [[nodiscard]] TestCertificate issue(const std::string& host,
                                      const TestCertificateOptions& options = {}) const;
  // An authority below this one; what it issues carries its certificate along. root_pem() stays the
  // root's.
  [[nodiscard]] TestAuthority make_intermediate(std::string name,
                                                Constraint constraint = Constraint::ca,
                                                TestHash hash = TestHash::sha256) const;

 private:
  struct Parts;
  explicit TestAuthority(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::testing
