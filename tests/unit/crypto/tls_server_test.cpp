// The server engine before a bare mbedTLS client, which can do what our own client never does:
// speak only TLS 1.2, offer ALPN, resume a session, and hand in a ticket of another version.
#include <gtest/gtest.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <sodium.h>

#include <array>
#include <optional>

#include "crypto/tls.hpp"
#include "tests/unit/crypto/bare_peer.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::crypto {
namespace {

using Status = TlsEngine::Status;

struct Session {
  Session() { mbedtls_ssl_session_init(&session); }
  ~Session() { mbedtls_ssl_session_free(&session); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  mbedtls_ssl_session session;
};

class BareClient : testing::Wires {
 public:
  BareClient() {
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_init(&ssl);
    EXPECT_EQ(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT,
                                          MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
              0);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(
        &config,
        [](void*, unsigned char* out, std::size_t size) {
          randombytes_buf(out, size);
          return 0;
        },
        nullptr);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
  }
  ~BareClient() {
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&config);
  }
  BareClient(const BareClient&) = delete;
  BareClient& operator=(const BareClient&) = delete;

  void only(mbedtls_ssl_protocol_version version) {
    mbedtls_ssl_conf_min_tls_version(&config, version);
    mbedtls_ssl_conf_max_tls_version(&config, version);
  }
  void begin() {
    ASSERT_EQ(mbedtls_ssl_setup(&ssl, &config), 0);
    ASSERT_EQ(mbedtls_ssl_set_hostname(&ssl, "mail.example"), 0);
    testing::connect_to(ssl, *this);
  }
  // To the end of the handshake and one message up; keeps the session where a ticket came.
  int talk(TlsEngine& server, Session* keep = nullptr) {
    int code = MBEDTLS_ERR_SSL_WANT_READ;
    bool sent = false;
    for (int turn = 0; turn < 20; ++turn) {
      if (mbedtls_ssl_is_handshake_over(&ssl) == 0) {
        code = mbedtls_ssl_handshake(&ssl);
      } else if (!sent) {
        sent = true;
        code = mbedtls_ssl_write(&ssl, reinterpret_cast<const unsigned char*>("NOOP"), 4);
      } else {
        std::array<unsigned char, 100> text{};
        code = mbedtls_ssl_read(&ssl, text.data(), text.size());
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET && keep != nullptr && !kept_) {
          EXPECT_EQ(mbedtls_ssl_get_session(&ssl, &keep->session), 0);
          kept_ = true;
        }
      }
      (void)server.receive(std::exchange(outgoing, {}));
      append(incoming, server.take_output());
      if (code < 0 && code != MBEDTLS_ERR_SSL_WANT_READ &&
          code != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        return code;
      }
    }
    if (keep != nullptr && !kept_) {
      EXPECT_EQ(mbedtls_ssl_get_session(&ssl, &keep->session), 0);
    }
    return 0;
  }

  mbedtls_ssl_config config;
  mbedtls_ssl_context ssl;

 private:
  bool kept_ = false;
};

class TlsServer : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<TlsEngine> engine() const {
    return std::move(*TlsEngine::server(context_));
  }
  static std::shared_ptr<const TlsServerContext> make_context(
      const testing::TestAuthority& authority, TlsVersion version_min = TlsVersion::tls_1_2) {
    const auto certificate = authority.issue("mail.example");
    return *TlsServerContext::create(
        {certificate.certificate_pem, certificate.private_key_pem.clone(), version_min});
  }
  const testing::TestAuthority authority_;
  const std::shared_ptr<const TlsServerContext> context_ = make_context(authority_);
};

TEST_F(TlsServer, SpeaksTls12WithEcdheAndAead) {
  BareClient client;
  client.only(MBEDTLS_SSL_VERSION_TLS1_2);
  client.begin();
  const auto server = engine();
  ASSERT_EQ(client.talk(*server), 0);
  ASSERT_EQ(server->status(), Status::ready);
  EXPECT_EQ(server->facts().version, "TLSv1.2");
  EXPECT_TRUE(server->facts().cipher.starts_with("TLS_ECDHE_ECDSA_WITH_"))
      << server->facts().cipher;
  EXPECT_EQ(as_text(server->take_plaintext()), "NOOP");
}

TEST_F(TlsServer, RefusesTls12WhereTls13IsDemanded) {
  BareClient client;
  client.only(MBEDTLS_SSL_VERSION_TLS1_2);
  client.begin();
  const auto server = std::move(*TlsEngine::server(make_context(authority_, TlsVersion::tls_1_3)));
  EXPECT_NE(client.talk(*server), 0);
  ASSERT_EQ(server->status(), Status::failed);
  EXPECT_NE(server->error().text().find("version"), std::string::npos) << server->error().text();
}

// RFC 9325 §4.1, §4.2: no CBC, no static key exchange.
TEST_F(TlsServer, RefusesWeakSuitesAndSaysWhatIsNeeded) {
  for (const int suite :
       {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, MBEDTLS_TLS_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256}) {
    BareClient client;
    client.only(MBEDTLS_SSL_VERSION_TLS1_2);
    const std::array<int, 2> suites = {suite, 0};
    mbedtls_ssl_conf_ciphersuites(&client.config, suites.data());
    client.begin();
    const auto server = engine();
    EXPECT_NE(client.talk(*server), 0);
    ASSERT_EQ(server->status(), Status::failed);
    EXPECT_NE(server->error().text().find("cipher suite"), std::string::npos)
        << server->error().text();
  }
}

class TlsServerBothVersions : public TlsServer,
                              public ::testing::WithParamInterface<mbedtls_ssl_protocol_version> {
 protected:
  int talk(const std::unique_ptr<TlsEngine>& server, const char** alpn) {
    BareClient client;
    client.only(GetParam());
    if (alpn != nullptr) {
      EXPECT_EQ(mbedtls_ssl_conf_alpn_protocols(&client.config, alpn), 0);
    }
    client.begin();
    return client.talk(*server);
  }
};
INSTANTIATE_TEST_SUITE_P(TlsServer, TlsServerBothVersions,
                         ::testing::Values(MBEDTLS_SSL_VERSION_TLS1_2, MBEDTLS_SSL_VERSION_TLS1_3));

// RFC 7301 §3.2, against cross-protocol attacks.
TEST_P(TlsServerBothVersions, RefusesAClientThatOffersOtherProtocolsOnly) {
  const char* http[] = {"h2", "http/1.1", nullptr};
  const auto server = engine();
  EXPECT_NE(talk(server, http), 0);
  ASSERT_EQ(server->status(), Status::failed);
  EXPECT_NE(server->error().text().find("ALPN"), std::string::npos) << server->error().text();
}

TEST_P(TlsServerBothVersions, TakesAClientThatOffersSmtpOrNothing) {
  const char* smtp[] = {"http/1.1", "smtp", nullptr};
  auto server = engine();
  EXPECT_EQ(talk(server, smtp), 0);
  EXPECT_EQ(server->status(), Status::ready);
  server = engine();
  EXPECT_EQ(talk(server, nullptr), 0);
  EXPECT_EQ(server->status(), Status::ready);
}

TEST_P(TlsServerBothVersions, ResumesASessionByItsTicket) {
  Session session;
  {
    BareClient first;
    first.only(GetParam());
    first.begin();
    const auto server = engine();
    ASSERT_EQ(first.talk(*server, &session), 0);
    EXPECT_FALSE(server->facts().resumed);
  }
  BareClient second;
  second.only(GetParam());
  second.begin();
  ASSERT_EQ(mbedtls_ssl_set_session(&second.ssl, &session.session), 0);
  const auto server = engine();
  ASSERT_EQ(second.talk(*server), 0);
  ASSERT_EQ(server->status(), Status::ready);
  EXPECT_TRUE(server->facts().resumed);
  EXPECT_EQ(as_text(server->take_plaintext()), "NOOP");
}

TEST_P(TlsServerBothVersions, ATicketOfAnotherContextMeansAFullHandshake) {
  Session session;
  {
    BareClient first;
    first.only(GetParam());
    first.begin();
    const auto server = std::move(*TlsEngine::server(make_context(authority_)));
    ASSERT_EQ(first.talk(*server, &session), 0);
  }
  BareClient second;
  second.only(GetParam());
  second.begin();
  ASSERT_EQ(mbedtls_ssl_set_session(&second.ssl, &session.session), 0);
  const auto server = engine();
  ASSERT_EQ(second.talk(*server), 0);
  EXPECT_FALSE(server->facts().resumed);
}

// CVE-2026-93831: the ticket of one version must not resume a session of the other. The client
// forges: it keeps the ticket and claims the session was of the other version.
TEST_P(TlsServerBothVersions, ATicketOfTheOtherVersionNeverResumes) {
  const auto other = GetParam() == MBEDTLS_SSL_VERSION_TLS1_2 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                              : MBEDTLS_SSL_VERSION_TLS1_2;
  const auto session_of = [&](mbedtls_ssl_protocol_version version, Session& session) {
    BareClient client;
    client.only(version);
    client.begin();
    const auto server = engine();
    ASSERT_EQ(client.talk(*server, &session), 0);
    ASSERT_NE(session.session.MBEDTLS_PRIVATE(ticket), nullptr);
  };
  Session honest;
  session_of(GetParam(), honest);
  Session foreign;
  session_of(other, foreign);
  // The session as this version wants it, with the other version's ticket in it.
  std::swap(honest.session.MBEDTLS_PRIVATE(ticket), foreign.session.MBEDTLS_PRIVATE(ticket));
  std::swap(honest.session.MBEDTLS_PRIVATE(ticket_len),
            foreign.session.MBEDTLS_PRIVATE(ticket_len));
  BareClient client;
  client.only(GetParam());
  client.begin();
  ASSERT_EQ(mbedtls_ssl_set_session(&client.ssl, &honest.session), 0);
  const auto server = engine();
  EXPECT_EQ(client.talk(*server), 0);  // falls back to a full handshake
  ASSERT_EQ(server->status(), Status::ready);
  EXPECT_FALSE(server->facts().resumed);
}

}  // namespace
}  // namespace postern::crypto
