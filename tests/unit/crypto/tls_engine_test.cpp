// TLS between two engines, between an engine and a bare mbedTLS, and with peers that lie.
#include "crypto/tls.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "relay/base/encoding.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::crypto {
namespace {

using testing::TestAuthority;
using testing::TestCertificate;
using testing::TestCertificateOptions;
using testing::TestHash;
using testing::TestKey;
using Status = TlsEngine::Status;

std::shared_ptr<const TlsServerContext> server_context(
    const TestCertificate& certificate, TlsVersion version_min = TlsVersion::tls_1_2) {
  auto made = TlsServerContext::create(
      {certificate.certificate_pem, certificate.private_key_pem.clone(), version_min});
  EXPECT_TRUE(made) << made.error().text();
  return *made;
}

std::shared_ptr<const TlsClientContext> client_context(const std::string& roots) {
  auto made = TlsClientContext::create({roots});
  EXPECT_TRUE(made) << made.error().text();
  return *made;
}

// A client and a server engine with a wire between them.
struct Pair {
  std::unique_ptr<TlsEngine> client;
  std::unique_ptr<TlsEngine> server;

  Pair(const TestCertificate& certificate, const std::string& roots, const std::string& host)
      : client(std::move(*TlsEngine::client(client_context(roots), host))),
        server(std::move(*TlsEngine::server(server_context(certificate)))) {}

  Pair(std::unique_ptr<TlsEngine> client_engine, std::unique_ptr<TlsEngine> server_engine)
      : client(std::move(client_engine)), server(std::move(server_engine)) {}

  // Hands octets over, `piece` at a time, until both are silent.
  void run(std::size_t piece = 100'000) {
    (void)client->advance();
    while (true) {
      const Bytes up = client->take_output();
      const Bytes down = server->take_output();
      if (up.empty() && down.empty()) return;
      feed(*server, up, piece);
      feed(*client, down, piece);
    }
  }
  static void feed(TlsEngine& engine, ByteView octets, std::size_t piece) {
    for (std::size_t at = 0; at < octets.size(); at += piece) {
      (void)engine.receive(octets.subspan(at, std::min(piece, octets.size() - at)));
    }
  }
  [[nodiscard]] std::string refusal() const {
    return client->status() == Status::failed ? client->error().text() : "";
  }
};

// What the client says of a server whose certificate was issued so.
std::string refusal_of(const TestCertificateOptions& options,
                       const std::string& host = "mail.example") {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example", options), authority.root_pem(), host);
  pair.run();
  EXPECT_NE(pair.server->status(), Status::ready);
  return pair.refusal();
}

TEST(TlsEngine, TwoEnginesSpeakTls13AndCarryTextBothWays) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example"), authority.root_pem(), "mail.example");
  pair.run();
  ASSERT_EQ(pair.client->status(), Status::ready) << pair.refusal();
  ASSERT_EQ(pair.server->status(), Status::ready);
  EXPECT_EQ(pair.client->facts().version, "TLSv1.3");
  EXPECT_EQ(pair.client->facts().cipher, "TLS_AES_128_GCM_SHA256");  // RFC 8446 appendix B.4
  EXPECT_EQ(pair.server->facts().cipher, pair.client->facts().cipher);
  EXPECT_FALSE(pair.server->facts().resumed);

  ASSERT_TRUE(pair.server->send(as_bytes("220 relay\r\n")));
  ASSERT_TRUE(pair.client->send(as_bytes("EHLO me\r\n")));
  pair.run();
  EXPECT_EQ(as_text(pair.client->take_plaintext()), "220 relay\r\n");
  EXPECT_EQ(as_text(pair.server->take_plaintext()), "EHLO me\r\n");
  EXPECT_TRUE(pair.server->take_plaintext().empty());
}

TEST(TlsEngine, WorksOctetByOctetAndCarriesMoreThanARecord) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example"), authority.root_pem(), "mail.example");
  pair.run(1);
  ASSERT_EQ(pair.client->status(), Status::ready) << pair.refusal();
  const std::string text(100'000, 'x');
  ASSERT_TRUE(pair.client->send(as_bytes(text)));
  pair.run(997);
  EXPECT_EQ(as_text(pair.server->take_plaintext()), text);
  EXPECT_TRUE(pair.client->send({}));  // nothing to send is no fault and no empty record
  EXPECT_TRUE(pair.client->take_output().empty());
}

TEST(TlsEngine, AnIntermediateIsSentAlongAndVerified) {
  const TestAuthority root;
  const TestAuthority below = root.make_intermediate("Below");
  Pair pair(below.issue("mail.example"), root.root_pem(), "mail.example");
  pair.run();
  EXPECT_EQ(pair.client->status(), Status::ready) << pair.refusal();
}

// A server's test of itself: the configured chain, whatever it names; not even another of the same
// name from the same authority, nor the same leaf without its intermediate.
TEST(TlsEngine, TheExpectedChainAndNoOtherIsAccepted) {
  const TestAuthority root;
  const TestAuthority below = root.make_intermediate("Below");
  const TestCertificate whole = below.issue("mail.example", {.not_after = "20210101000000"});
  TestCertificate cut{whole.certificate_pem, whole.private_key_pem.clone()};
  cut.certificate_pem.resize(cut.certificate_pem.find("-----END CERTIFICATE-----") + 26);
  const auto refusal = [&](const TestCertificate& shown) {
    const auto expected = TlsClientContext::expecting(server_context(whole));
    Pair pair(std::move(*TlsEngine::client(expected, "127.0.0.1")),
              std::move(*TlsEngine::server(server_context(shown))));
    pair.run();
    EXPECT_EQ(pair.client->status() == Status::ready, pair.refusal().empty());
    return pair.refusal();
  };
  EXPECT_EQ(refusal(whole), "");
  for (const TestCertificate& other : {below.issue("mail.example"), std::move(cut)}) {
    EXPECT_NE(refusal(other).find("another certificate than the configured one"), std::string::npos)
        << refusal(other);
  }
}

TEST(TlsEngine, RsaCertificatesWork) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example", {.key = TestKey::rsa_2048}), authority.root_pem(),
            "mail.example");
  pair.run();
  EXPECT_EQ(pair.client->status(), Status::ready) << pair.refusal();
}

// The header's promise: one context, engines of several threads.
TEST(TlsEngine, OneContextServesSeveralThreads) {
  const TestAuthority authority;
  const auto server = server_context(authority.issue("mail.example", {.key = TestKey::rsa_2048}));
  const auto roots = client_context(authority.root_pem());
  std::atomic<int> ready = 0;
  const auto shake_hands = [&] {
    for (int i = 0; i < 5; ++i) {
      Pair pair(std::move(*TlsEngine::client(roots, "mail.example")),
                std::move(*TlsEngine::server(server)));
      pair.run();
      if (pair.client->status() == Status::ready && pair.server->status() == Status::ready) ++ready;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(shake_hands);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ready, 20);
}

TEST(TlsEngine, CloseNotifyIsSeenAndEndsTheText) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example"), authority.root_pem(), "mail.example");
  pair.run();
  ASSERT_TRUE(pair.client->send(as_bytes("QUIT\r\n")));
  pair.client->send_close_notify();
  pair.run();
  EXPECT_EQ(pair.server->status(), Status::closed);
  EXPECT_EQ(as_text(pair.server->take_plaintext()), "QUIT\r\n");
  EXPECT_EQ(pair.server->receive(as_bytes("more")), Status::closed);
  EXPECT_FALSE(pair.server->send(as_bytes("too late")));
}

TEST(TlsEngine, SendingBeforeTheHandshakeIsAnError) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example"), authority.root_pem(), "mail.example");
  EXPECT_FALSE(pair.client->send(as_bytes("EHLO")));
  pair.client->send_close_notify();
  EXPECT_TRUE(pair.client->take_output().empty());
}

TEST(TlsEngine, AChangedOctetOnTheWireFailsAndGivesNoText) {
  const TestAuthority authority;
  Pair pair(authority.issue("mail.example"), authority.root_pem(), "mail.example");
  pair.run();
  ASSERT_TRUE(pair.client->send(as_bytes("MAIL FROM:<a@b>\r\n")));
  Bytes wire = pair.client->take_output();
  wire[wire.size() / 2] ^= std::byte{1};
  EXPECT_EQ(pair.server->receive(wire), Status::failed);
  EXPECT_TRUE(pair.server->take_plaintext().empty());
  EXPECT_NE(pair.server->error().text().find("changed on the way"), std::string::npos)
      << pair.server->error().text();
  EXPECT_FALSE(pair.server->take_output().empty());  // the alert
}

TEST(TlsEngine, AChangedOctetOfTheHandshakeNeverEndsInASession) {
  const TestAuthority authority;
  const TestCertificate certificate = authority.issue("mail.example");
  const auto server = server_context(certificate);
  const auto roots = client_context(authority.root_pem());
  for (std::size_t at = 5; at < 600; at += 13) {  // the server's first flight has some 690 octets
    auto client = std::move(*TlsEngine::client(roots, "mail.example"));
    auto peer = std::move(*TlsEngine::server(server));
    (void)client->advance();
    (void)peer->receive(client->take_output());
    Bytes answer = peer->take_output();
    ASSERT_GT(answer.size(), at);
    answer[at] ^= std::byte{0x20};
    EXPECT_NE(client->receive(answer), Status::ready) << at;
  }
}

// RFC 9525: who we talk to.
TEST(TlsCertificates, OfAnotherNameAreRefusedAndTheirNamesTold) {
  const std::string text = refusal_of({.dns_names = {"www.example", "other.example"}});
  EXPECT_NE(text.find("www.example"), std::string::npos) << text;
  EXPECT_NE(text.find("other.example"), std::string::npos) << text;
  EXPECT_NE(text.find("TLS handshake with mail.example"), std::string::npos) << text;
}

// RFC 9525 §2: the common name is no name.
TEST(TlsCertificates, WithACommonNameOnlyAreRefused) {
  const std::string text = refusal_of({.common_name_only = true});
  EXPECT_NE(text.find("subjectAltName"), std::string::npos) << text;
}

TEST(TlsCertificates, ExpiredOnesAreRefusedWithTheirDate) {
  const std::string text = refusal_of({.not_after = "20210630120000"});
  EXPECT_NE(text.find("expired at 2021-06-30 12:00"), std::string::npos) << text;
}

TEST(TlsCertificates, NotYetValidOnesAreRefusedAndTheClockIsDoubted) {
  const std::string text = refusal_of({.not_before = "20980101000000"});
  EXPECT_NE(text.find("2098-01-01"), std::string::npos) << text;
  EXPECT_NE(text.find("clock"), std::string::npos) << text;
}

TEST(TlsCertificates, OfAnUnknownAuthorityAreRefusedAndTheAuthorityTold) {
  const TestAuthority known("Known");
  const TestAuthority stranger("Stranger");
  Pair pair(stranger.issue("mail.example"), known.root_pem(), "mail.example");
  pair.run();
  EXPECT_NE(pair.refusal().find("CN=Stranger"), std::string::npos) << pair.refusal();
  EXPECT_EQ(pair.client->error().kind, ErrorKind::denied);
  // The server is told by the alert and says it in an operator's words.
  ASSERT_EQ(pair.server->status(), Status::failed);
  EXPECT_NE(pair.server->error().text().find("does not know the authority"), std::string::npos)
      << pair.server->error().text();
}

TEST(TlsCertificates, OfAnotherAuthorityWithTheSameNameAreRefused) {
  const TestAuthority known("Same Name");
  const TestAuthority stranger("Same Name");
  Pair pair(stranger.issue("mail.example"), known.root_pem(), "mail.example");
  pair.run();
  EXPECT_EQ(pair.client->status(), Status::failed);
}

TEST(TlsCertificates, SignedWithSha1AreRefused) {
  const std::string text = refusal_of({.hash = TestHash::sha1});
  EXPECT_NE(text.find("outdated hash"), std::string::npos) << text;
}

TEST(TlsCertificates, ASha1IntermediateIsRefusedAndASha1RootIsNot) {
  const TestAuthority root("Old Root", TestHash::sha1);
  Pair fine(root.issue("mail.example"), root.root_pem(), "mail.example");
  fine.run();
  EXPECT_EQ(fine.client->status(), Status::ready) << fine.refusal();
  const TestAuthority below =
      root.make_intermediate("Below", TestAuthority::Constraint::ca, TestHash::sha1);
  Pair refused(below.issue("mail.example"), root.root_pem(), "mail.example");
  refused.run();
  EXPECT_NE(refused.refusal().find("outdated hash"), std::string::npos) << refused.refusal();
}

// RFC 5280 §4.2.1.9; mbedTLS 3.6.6 takes some malformed basicConstraints for an authority's.
TEST(TlsCertificates, IssuedByOneThatMayNotAreRefused) {
  const TestAuthority root;
  for (const auto constraint :
       {TestAuthority::Constraint::not_ca, TestAuthority::Constraint::missing,
        TestAuthority::Constraint::malformed}) {
    const TestAuthority below = root.make_intermediate("Below", constraint);
    const TestCertificate leaf = below.issue("mail.example");
    auto server = TlsServerContext::create({leaf.certificate_pem, leaf.private_key_pem.clone()});
    if (!server) {
      // mbedTLS cannot even read it; then no chain can hold it.
      EXPECT_EQ(constraint, TestAuthority::Constraint::malformed) << server.error().text();
      continue;
    }
    Pair pair(leaf, root.root_pem(), "mail.example");
    pair.run();
    EXPECT_EQ(pair.client->status(), Status::failed);
    EXPECT_NE(pair.server->status(), Status::ready);
  }
}

TEST(TlsCertificates, AnAddressIsComparedWithAddressesOnly) {
  const std::string v4("\xC0\x00\x02\x19", 4);
  const TestAuthority authority;
  Pair good(authority.issue("x", {.address_octets = {v4}}), authority.root_pem(), "192.0.2.25");
  good.run();
  EXPECT_EQ(good.client->status(), Status::ready) << good.refusal();
  Pair other(authority.issue("x", {.address_octets = {v4}}), authority.root_pem(), "192.0.2.26");
  other.run();
  EXPECT_NE(other.refusal().find("192.0.2.25"), std::string::npos) << other.refusal();
  Pair as_name(authority.issue("x", {.dns_names = {"192.0.2.25"}}), authority.root_pem(),
               "192.0.2.25");
  as_name.run();
  EXPECT_EQ(as_name.client->status(), Status::failed);
  const std::string v6("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
  Pair six(authority.issue("x", {.address_octets = {v6}}), authority.root_pem(), "[2001:db8::1]");
  six.run();
  EXPECT_EQ(six.client->status(), Status::ready) << six.refusal();
}

// RFC 5280 §4.2.1.6: 4 or 16 octets. mbedTLS reads no such certificate, so none comes in a
// handshake either.
TEST(TlsCertificates, AnAddressOfAnImpossibleLengthIsUnreadable) {
  const TestAuthority authority;
  const auto odd = authority.issue("x", {.address_octets = {std::string("\x7F\x01", 2)}});
  EXPECT_FALSE(TlsServerContext::create({odd.certificate_pem, odd.private_key_pem.clone()}));
}

TEST(TlsCertificates, AWildcardServesOneLabel) {
  const TestAuthority authority;
  const auto wildcard = authority.issue("x", {.dns_names = {"*.mail.example"}});
  Pair good(wildcard, authority.root_pem(), "eu.mail.example.");
  good.run();
  EXPECT_EQ(good.client->status(), Status::ready) << good.refusal();
  Pair deep(wildcard, authority.root_pem(), "a.eu.mail.example");
  deep.run();
  EXPECT_EQ(deep.client->status(), Status::failed);
}

TEST(TlsPeers, AServerInPlainTextIsRecognised) {
  const TestAuthority authority;
  auto client = std::move(*TlsEngine::client(client_context(authority.root_pem()), "mail.example"));
  (void)client->advance();
  (void)client->take_output();
  EXPECT_EQ(client->receive(as_bytes("220 mail.example ESMTP\r\n")), Status::failed);
  EXPECT_NE(client->error().text().find("plain text"), std::string::npos) << client->error().text();
}

TEST(TlsPeers, AClientInPlainTextIsRecognised) {
  const TestAuthority authority;
  auto server = std::move(*TlsEngine::server(server_context(authority.issue("mail.example"))));
  EXPECT_EQ(server->receive(as_bytes("EHLO printer\r\n")), Status::failed);
  EXPECT_NE(server->error().text().find("plain text"), std::string::npos) << server->error().text();
}

// CVE-2026-115490: no supported_versions and 0x0304 in legacy_version.
TEST(TlsPeers, AForgedServerHelloIsRefusedBeforeMbedtlsSeesIt) {
  const TestAuthority authority;
  auto client = std::move(*TlsEngine::client(client_context(authority.root_pem()), "mail.example"));
  (void)client->advance();
  const Bytes hello = client->take_output();
  ASSERT_GT(hello.size(), 76U);
  // Echoes the session id as RFC 8446 §4.1.3 wants, and is well-formed but for the version.
  const std::string session = encode_hex(ByteView(hello).subspan(44, 32));
  const std::string random = std::string(64, '7');
  const std::string body = "0304" + random + "20" + session + "1301" + "00" + "0000";
  const Bytes forged = *decode_hex("160303004c02000048" + body);
  ASSERT_EQ(forged.size(), 5U + 0x4c);
  EXPECT_EQ(client->receive(forged), Status::failed);
  EXPECT_NE(client->error().text().find("forged"), std::string::npos) << client->error().text();
  EXPECT_EQ(encode_hex(client->take_output()), "1503030002022f");  // illegal_parameter
  EXPECT_FALSE(client->send(as_bytes("AUTH PLAIN")));
}

TEST(TlsPeers, AnOldServerIsNamed) {
  const TestAuthority authority;
  auto client = std::move(*TlsEngine::client(client_context(authority.root_pem()), "mail.example"));
  (void)client->advance();
  const Bytes old = *decode_hex(
      "160301002c"
      "020000280301" +
      std::string(64, '7') +
      "00"
      "002f"
      "00"
      "0000");
  EXPECT_EQ(client->receive(old), Status::failed);
  EXPECT_NE(client->error().text().find("only TLS 1.0"), std::string::npos)
      << client->error().text();
}

// RFC 8996: a device of 2008 says hello with TLS 1.0.
TEST(TlsPeers, AnOldClientIsNamed) {
  const TestAuthority authority;
  auto server = std::move(*TlsEngine::server(server_context(authority.issue("mail.example"))));
  const Bytes old = *decode_hex(
      "160301002f"
      "0100002b0301" +
      std::string(64, '7') +
      "00"
      "0004002f0035"
      "0100");
  EXPECT_EQ(server->receive(old), Status::failed);
  EXPECT_NE(server->error().text().find("only TLS 1.0"), std::string::npos)
      << server->error().text();
}

TEST(TlsContexts, SayWhatIsWrongWithCertificateAndKey) {
  const TestAuthority authority;
  const auto one = authority.issue("one.example");
  const auto two = authority.issue("two.example");
  const auto refusal = [](std::string certificate, Secret key) {
    const auto made = TlsServerContext::create({std::move(certificate), std::move(key)});
    return made ? std::string("accepted") : made.error().text();
  };
  EXPECT_NE(refusal(one.certificate_pem, two.private_key_pem.clone()).find("does not belong"),
            std::string::npos);
  EXPECT_NE(refusal("nonsense", one.private_key_pem.clone()).find("certificate"),
            std::string::npos);
  EXPECT_NE(refusal("", one.private_key_pem.clone()).find("empty"), std::string::npos);
  EXPECT_NE(refusal(one.certificate_pem, Secret(std::string_view("nonsense"))).find("private key"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(one.private_key_pem.text()), one.private_key_pem.clone())
                .find("private key where"),
            std::string::npos);
  const auto weak = authority.issue("weak", {.key = TestKey::rsa_1024});
  EXPECT_NE(refusal(weak.certificate_pem, weak.private_key_pem.clone()).find("1024 bits"),
            std::string::npos);
}

TEST(TlsContexts, AClientNeedsRootsAndAHost) {
  const TestAuthority authority;
  EXPECT_FALSE(TlsClientContext::create({""}));
  EXPECT_FALSE(TlsClientContext::create({"no certificate"}));
  const auto context = client_context(authority.root_pem());
  EXPECT_FALSE(TlsEngine::client(context, ""));
  EXPECT_FALSE(TlsEngine::client(context, "."));
  EXPECT_FALSE(TlsEngine::client(context, std::string(254, 'a')));
  EXPECT_FALSE(TlsEngine::client(context, std::string("mail\0.example", 13)));
}

}  // namespace
}  // namespace postern::crypto
