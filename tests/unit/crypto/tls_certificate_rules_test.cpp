// The rules for certificates that mbedTLS does not have.
#include "crypto/tls_certificate_rules.hpp"

#include <gtest/gtest.h>

#include "crypto/mbedtls_support.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::crypto {
namespace {

using testing::TestAuthority;
using testing::TestHash;
using testing::TestKey;

// RFC 9525 §6.3
TEST(DnsNameMatches, IgnoresCaseAndTakesAStarForOneWholeLabel) {
  EXPECT_TRUE(dns_name_matches("mail.example", "MAIL.example"));
  EXPECT_TRUE(dns_name_matches("*.mail.example", "a.mail.example"));
  EXPECT_FALSE(dns_name_matches("*.mail.example", "mail.example"));
  EXPECT_FALSE(dns_name_matches("*.mail.example", ".mail.example"));
  EXPECT_FALSE(dns_name_matches("*.mail.example", "a.b.mail.example"));
  EXPECT_FALSE(dns_name_matches("m*.example.org", "mail.example.org"));
  EXPECT_FALSE(dns_name_matches("a.*.example", "a.mail.example"));
  EXPECT_FALSE(dns_name_matches("*.*.example", "a.b.example"));
  EXPECT_FALSE(dns_name_matches("*.example", "mail.example"));
  EXPECT_FALSE(dns_name_matches("*", "mail"));
  EXPECT_FALSE(dns_name_matches("", ""));
}

TEST(DnsNameMatches, ANulInsideANameIsPartOfIt) {
  EXPECT_FALSE(dns_name_matches(std::string_view("mail.example\0.evil", 18), "mail.example"));
}

// The chain below a leaf, parsed: leaf first, then the intermediate.
struct Chain {
  explicit Chain(const std::string& pem) {
    EXPECT_EQ(
        mbedtls_x509_crt_parse(&parsed.chain, reinterpret_cast<const unsigned char*>(pem.c_str()),
                               pem.size() + 1),
        0);
  }
  Certificates parsed;
};

// RFC 5280 §4.2.1.9
TEST(CertificateRules, OnlyAnAuthorityInDerMayIssue) {
  const TestAuthority root;
  const auto says_ca = [&](TestAuthority::Constraint constraint) {
    const Chain chain(
        root.make_intermediate("Below", constraint).issue("mail.example").certificate_pem);
    return says_ca_in_der(*chain.parsed.chain.next);
  };
  EXPECT_TRUE(says_ca(TestAuthority::Constraint::ca));
  EXPECT_FALSE(says_ca(TestAuthority::Constraint::not_ca));
  EXPECT_FALSE(says_ca(TestAuthority::Constraint::missing));
  const Chain leaf(root.issue("mail.example").certificate_pem);
  EXPECT_FALSE(says_ca_in_der(leaf.parsed.chain));
}

TEST(CertificateRules, TheProfileFindsWeakHashesAndKeys) {
  const TestAuthority root;
  const auto problems = [&](const testing::TestCertificateOptions& options) {
    const Chain chain(root.issue("mail.example", options).certificate_pem);
    return profile_problems(chain.parsed.chain);
  };
  EXPECT_EQ(problems({}), 0U);
  EXPECT_EQ(problems({.key = TestKey::rsa_2048}), 0U);
  EXPECT_EQ(problems({.hash = TestHash::sha1}), std::uint32_t{MBEDTLS_X509_BADCERT_BAD_MD});
  EXPECT_EQ(problems({.key = TestKey::rsa_1024}), std::uint32_t{MBEDTLS_X509_BADCERT_BAD_KEY});
}

// A chain as mbedTLS walks it, with every flag that mbedTLS itself would set left out: the rules
// stand alone.
TEST(CertificateRules, RefuseASha1IntermediateEvenWhereMbedtlsIsContent) {
  const TestAuthority root;
  const TestAuthority below =
      root.make_intermediate("Below", TestAuthority::Constraint::ca, TestHash::sha1);
  const Chain roots(root.root_pem());
  const Chain chain(below.issue("mail.example").certificate_pem);
  CertificateRules rules(roots.parsed.chain, "mail.example", read_clocks().wall);
  std::uint32_t flags = 0;
  CertificateRules::verify(&rules, const_cast<mbedtls_x509_crt*>(&roots.parsed.chain), 2, &flags);
  EXPECT_EQ(flags, 0U);
  CertificateRules::verify(&rules, chain.parsed.chain.next, 1, &flags);
  EXPECT_EQ(flags, std::uint32_t{MBEDTLS_X509_BADCERT_BAD_MD});
  EXPECT_NE(rules.problem().find("CN=Below"), std::string::npos) << rules.problem();
  flags = 0;
  CertificateRules::verify(&rules, const_cast<mbedtls_x509_crt*>(&chain.parsed.chain), 0, &flags);
  EXPECT_FALSE(rules.leaf_accepted());
}

// RFC 5280 §6.1.3 (a)(2): "now" must be a time that can be true.
TEST(CertificateRules, AClockThatLostItsTimeJudgesNoCertificate) {
  const TestAuthority root;
  const Chain roots(root.root_pem());
  const Chain leaf(root.issue("mail.example").certificate_pem);
  const auto problem_at = [&](WallTime now) {
    CertificateRules rules(roots.parsed.chain, "mail.example", now);
    for (const auto& [chain, depth] : {std::pair(&roots, 1), std::pair(&leaf, 0)}) {
      std::uint32_t flags = 0;
      CertificateRules::verify(&rules, const_cast<mbedtls_x509_crt*>(&chain->parsed.chain), depth,
                               &flags);
      EXPECT_EQ(flags == 0, now >= clock_plausible_from);
    }
    EXPECT_EQ(rules.leaf_accepted(), now >= clock_plausible_from);
    return rules.problem();
  };
  EXPECT_EQ(problem_at(clock_plausible_from), "");
  EXPECT_EQ(problem_at(clock_plausible_from - Duration(1)),
            "this device's clock says 2026-10-31T23:59:59.999Z, which is long past, so no "
            "certificate can be judged; set the clock");
}

}  // namespace
}  // namespace postern::crypto
