// What a peer sends behind the handshake that is no application data: an engine answers little, and
// ends a peer that asks on and on. The peer is a bare mbedTLS of either side.
#include <gtest/gtest.h>

#include <optional>

#include "crypto/tls.hpp"
#include "tests/unit/crypto/bare_peer.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::crypto {
namespace {

using testing::BarePeer;
using Status = TlsEngine::Status;

// RFC 8446 §4.6.3: update_requested.
constexpr std::string_view key_update("\x18\x00\x00\x01\x01", 5);

// Parameter: whether the engine is the server.
class TlsAfterHandshake : public ::testing::TestWithParam<bool> {
 protected:
  void begin(mbedtls_ssl_protocol_version version) {
    const testing::TestAuthority authority;
    const auto certificate = authority.issue("mail.example");
    if (GetParam()) {
      engine = std::move(*TlsEngine::server(*TlsServerContext::create(
          {certificate.certificate_pem, certificate.private_key_pem.clone()})));
    } else {
      engine = std::move(
          *TlsEngine::client(*TlsClientContext::create({authority.root_pem()}), "mail.example"));
    }
    peer.emplace(GetParam() ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER, version, certificate);
    shake_hands();
  }
  void shake_hands() {
    (void)engine->advance();
    for (int turn = 0; turn < 10; ++turn) {
      append(peer->incoming, engine->take_output());
      peer->shake_hands();
      (void)engine->receive(std::exchange(peer->outgoing, {}));
    }
    append(peer->incoming, engine->take_output());
    ASSERT_EQ(engine->status(), Status::ready);
  }
  [[nodiscard]] static std::string_view another_hello() {
    return GetParam() ? testing::empty_client_hello : testing::empty_hello_request;
  }

  std::unique_ptr<TlsEngine> engine;
  std::optional<BarePeer> peer;
};
INSTANTIATE_TEST_SUITE_P(TlsEngine, TlsAfterHandshake, ::testing::Bool(),
                         [](const auto& engine) { return engine.param ? "server" : "client"; });

// RFC 5246 §7.2.2: no_renegotiation is a warning, and the connection goes on.
TEST_P(TlsAfterHandshake, AFewRequestsToRenegotiateAreAnsweredAndTheConnectionGoesOn) {
  begin(MBEDTLS_SSL_VERSION_TLS1_2);
  EXPECT_EQ(engine->receive(peer->handshake_record(another_hello(), 3)), Status::ready);
  EXPECT_FALSE(engine->take_output().empty());
  EXPECT_EQ(engine->receive(peer->text_record("NOOP")), Status::ready);
  EXPECT_EQ(as_text(engine->take_plaintext()), "NOOP");
}

// Each of these four octets makes mbedTLS write an alert of 31, which a peer that reads nothing
// would leave in our memory, before any login.
TEST_P(TlsAfterHandshake, AFloodOfRequestsToRenegotiateEndsTheConnection) {
  begin(MBEDTLS_SSL_VERSION_TLS1_2);
  ASSERT_EQ(engine->receive(peer->handshake_record(another_hello(), 4'000)), Status::failed);
  EXPECT_NE(engine->error().text().find("renegotiat"), std::string::npos) << engine->error().text();
  EXPECT_LE(engine->take_output().size(), 2'048U);
  EXPECT_FALSE(engine->send(as_bytes("more")));
}

// Slow ones as well: the count is of the connection's whole life.
TEST_P(TlsAfterHandshake, ADripOfRequestsToRenegotiateEndsTheConnection) {
  begin(MBEDTLS_SSL_VERSION_TLS1_2);
  std::size_t answered_bytes = 0;
  for (int i = 0; i < 1'000 && engine->status() == Status::ready; ++i) {
    (void)engine->receive(peer->handshake_record(another_hello(), 1));
    answered_bytes += engine->take_output().size();
  }
  EXPECT_EQ(engine->status(), Status::failed);
  EXPECT_LE(answered_bytes, 2'048U);
}

// What we write ourselves is no answer to anything: it never counts.
TEST_P(TlsAfterHandshake, MuchDataOfOursEndsNothing) {
  for (const auto version : {MBEDTLS_SSL_VERSION_TLS1_2, MBEDTLS_SSL_VERSION_TLS1_3}) {
    begin(version);
    const std::string text(100'000, 'x');
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(engine->send(as_bytes(text)));
      EXPECT_EQ(engine->receive(peer->text_record("NOOP")), Status::ready);
    }
    EXPECT_EQ(as_text(engine->take_plaintext()).size(), 80U);
  }
}

// RFC 8446 §4.6.3. mbedTLS 3.6 knows no KeyUpdate and ends the connection, so it never answers one.
TEST_P(TlsAfterHandshake, AKeyUpdateEndsTheConnectionWithLittleOutput) {
  begin(MBEDTLS_SSL_VERSION_TLS1_3);
  EXPECT_EQ(engine->receive(peer->handshake_record(key_update, 1)), Status::failed);
  EXPECT_LE(engine->take_output().size(), 64U);
}

}  // namespace
}  // namespace postern::crypto
