// The authority of one's own: what it issues is taken by our own client, and nothing else is called
// good.
#include "crypto/own_authority.hpp"

#include <chrono>

#include "crypto/tls.hpp"
#include "gtest/gtest.h"

namespace postern::crypto {
namespace {

using std::chrono::days;

const std::vector<std::string> names = {"relay.office.example", "192.168.10.2"};

WallTime now() { return read_clocks().wall; }

// Both ends in memory until they are done or one failed; empty, or the client's error.
std::string handshake(const KeyAndCertificate& issued, const std::string& roots,
                      const std::string& host) {
  const auto server_context = TlsServerContext::create(
      {issued.certificate_pem, issued.private_key_pem.clone(), TlsVersion::tls_1_2});
  const auto client_context = TlsClientContext::create({roots, TlsVersion::tls_1_2});
  if (!server_context || !client_context) return "no context";
  auto server = TlsEngine::server(*server_context),
       client = TlsEngine::client(*client_context, host);
  if (!server || !client) return "no engine";
  auto status = (*client)->advance();
  for (int turn = 0; turn < 10 && status == TlsEngine::Status::need_input; ++turn) {
    (*server)->receive((*client)->take_output());
    status = (*client)->receive((*server)->take_output());
  }
  return status == TlsEngine::Status::ready    ? ""
         : status == TlsEngine::Status::failed ? (*client)->error().text()
                                               : "no end";
}

class OwnAuthorityTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority = new KeyAndCertificate(*make_own_authority("Postern box 0a1b2c3d", now()));
    issued = new KeyAndCertificate(*issue_certificate(*authority, names, now()));
  }
  static void TearDownTestSuite() {
    delete authority;
    delete issued;
  }
  static inline KeyAndCertificate* authority = nullptr;
  static inline KeyAndCertificate* issued = nullptr;
};

TEST_F(OwnAuthorityTest, OurClientTakesItForItsNamesAndNoOther) {  // RFC 9525 section 6
  EXPECT_EQ(handshake(*issued, authority->certificate_pem, names[0]), "");
  EXPECT_EQ(handshake(*issued, authority->certificate_pem, names[1]), "");
  EXPECT_NE(handshake(*issued, authority->certificate_pem, "other.office.example"), "");
  const auto other = make_own_authority("Postern box 0a1b2c3d", now());
  ASSERT_TRUE(other);
  EXPECT_NE(handshake(*issued, other->certificate_pem, names[0]), "");
}

TEST_F(OwnAuthorityTest, WhatItIssuedCannotIssue) {  // RFC 5280 section 4.2.1.9
  const auto forged = issue_certificate(*issued, names, now());
  ASSERT_TRUE(forged);
  const KeyAndCertificate chain{forged->certificate_pem + issued->certificate_pem,
                                forged->private_key_pem.clone()};
  EXPECT_NE(handshake(chain, authority->certificate_pem, names[0]), "");
}

TEST_F(OwnAuthorityTest, IsRenewedWhenTheNamesTheAuthorityOrTheKeyChange) {
  EXPECT_TRUE(is_still_good(*issued, *authority, names, now()));
  EXPECT_TRUE(is_still_good(*issued, *authority, {names[1], names[0]}, now()));
  EXPECT_TRUE(is_still_good(*issued, *authority, {names[0]}, now()));
  EXPECT_FALSE(is_still_good(*issued, *authority, {names[0], "192.168.10.3"}, now()));
  const auto other = make_own_authority("Postern box 0a1b2c3d", now());
  ASSERT_TRUE(other);
  EXPECT_FALSE(is_still_good(*issued, *other, names, now()));
  const KeyAndCertificate mixed{issued->certificate_pem, other->private_key_pem.clone()};
  EXPECT_FALSE(is_still_good(mixed, *authority, names, now()));
}

TEST_F(OwnAuthorityTest, IsRenewedWhenAThirdOfItsLifeIsLeft) {
  EXPECT_TRUE(is_still_good(*issued, *authority, names, now() + days(260)));
  EXPECT_FALSE(is_still_good(*issued, *authority, names, now() + days(265)));
  EXPECT_FALSE(is_still_good(*issued, *authority, names, now() - days(2)));
}

TEST_F(OwnAuthorityTest, KeepsTheKeyItIsGivenAndMakesOneWhereThatIsNone) {
  const auto again = issue_certificate(*authority, names, now(), &issued->private_key_pem);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->private_key_pem.text(), issued->private_key_pem.text());
  EXPECT_NE(again->certificate_pem, issued->certificate_pem);
  EXPECT_EQ(handshake(*again, authority->certificate_pem, names[0]), "");
  const Secret broken(std::string_view("-----BEGIN EC PRIVATE KEY-----\n"));
  const auto fresh = issue_certificate(*authority, names, now(), &broken);
  ASSERT_TRUE(fresh);
  EXPECT_EQ(handshake(*fresh, authority->certificate_pem, names[0]), "");
}

TEST_F(OwnAuthorityTest, ARootMadeAnewStandsForWhatTheOldOneIssued) {
  const auto anew = renew_own_authority(*authority, now());
  ASSERT_TRUE(anew);
  EXPECT_NE(anew->certificate_pem, authority->certificate_pem);
  EXPECT_EQ(handshake(*issued, anew->certificate_pem, names[0]), "");
  EXPECT_TRUE(is_still_good(*issued, *anew, names, now()));
  const auto later = issue_certificate(*anew, names, now());
  ASSERT_TRUE(later);
  EXPECT_EQ(handshake(*later, authority->certificate_pem, names[0]), "");
}

TEST_F(OwnAuthorityTest, ARootMadeAnewByAClockThatIsAheadIsGoodToday) {
  const auto ahead = renew_own_authority(*authority, now() + days(3650));
  ASSERT_TRUE(ahead);
  EXPECT_EQ(handshake(*issued, ahead->certificate_pem, names[0]), "");
  const auto again = renew_own_authority(*ahead, now() + days(2 * 3650));
  ASSERT_TRUE(again);
  EXPECT_EQ(handshake(*issued, again->certificate_pem, names[0]), "");
}

TEST_F(OwnAuthorityTest, WhatWasMadeElsewhereIsNotMadeAnew) {
  EXPECT_FALSE(renew_own_authority(*issued, now()));
  EXPECT_FALSE(renew_own_authority(
      {authority->certificate_pem + issued->certificate_pem, authority->private_key_pem.clone()},
      now()));
}

TEST_F(OwnAuthorityTest, LastsTenYearsAndBeginsBeforeAClockThatIsAhead) {
  EXPECT_TRUE(lasts_another_year(*authority, now() + days(3652 - 368)));
  EXPECT_FALSE(lasts_another_year(*authority, now() + days(3652 - 366)));
  // Made by a clock that is two years ahead, from a date that is known to be past.
  const auto ahead = make_own_authority("Postern box", now() + days(730), now() - days(30));
  ASSERT_TRUE(ahead);
  const auto certificate = issue_certificate(*ahead, names, now());
  ASSERT_TRUE(certificate);
  EXPECT_EQ(handshake(*certificate, ahead->certificate_pem, names[0]), "");
  const auto future = make_own_authority("Postern box", now() + days(730));
  ASSERT_TRUE(future);
  EXPECT_NE(handshake(*issue_certificate(*future, names, now()), future->certificate_pem, names[0]),
            "");
}

TEST_F(OwnAuthorityTest, NoTwoAreAlike) {
  const auto again = make_own_authority("Postern box 0a1b2c3d", now());
  ASSERT_TRUE(again);
  EXPECT_NE(again->private_key_pem.text(), authority->private_key_pem.text());
  const auto one = certificate_fingerprint(again->certificate_pem);
  const auto two = certificate_fingerprint(authority->certificate_pem);
  ASSERT_TRUE(one && two);
  EXPECT_NE(*one, *two);
  EXPECT_EQ(one->size(), 32U * 3 - 1);
}

TEST_F(OwnAuthorityTest, NamesThatCouldMeanSomethingElseAreRefused) {
  for (const char* name : {"", "a, CN=b", "a\nb", " a"})
    EXPECT_FALSE(make_own_authority(name, now())) << name;
  EXPECT_FALSE(make_own_authority(std::string(65, 'a'), now()));
  for (const char* name : {"", "a b", "a,b", "*"})
    EXPECT_FALSE(issue_certificate(*authority, {name}, now())) << name;
  EXPECT_FALSE(issue_certificate(*authority, {}, now()));
}

}  // namespace
}  // namespace postern::crypto
