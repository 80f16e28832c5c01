// TLS over a Connection: implicit and STARTTLS, both versions, back-pressure, and every way it can
// go wrong.
#include <gtest/gtest.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "crypto/random.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/os_address.hpp"
#include "tests/unit/crypto/bare_peer.hpp"
#include "tests/unit/crypto/test_certificates.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

class ConnectionTlsTest : public NetTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(crypto::initialise().has_value());
    NetTest::SetUp();
    const testing::TestAuthority authority;
    certificate = authority.issue("mail.example");
    auto server_made = crypto::TlsServerContext::create(
        {certificate.certificate_pem, certificate.private_key_pem.clone()});
    ASSERT_TRUE(server_made.has_value()) << server_made.error().text();
    server_context = *server_made;
    auto client_made = crypto::TlsClientContext::create({authority.root_pem()});
    ASSERT_TRUE(client_made.has_value()) << client_made.error().text();
    client_context = *client_made;
  }

  void start_tls_both(const std::string& host = "mail.example") {
    server.connection->start_tls_server(server_context);
    server.connection->start();
    client.connection->start();
    client.connection->start_tls_client(client_context, host);
  }

  // TLS 1.2 between our server and a bare peer behind the client's plain connection.
  void shake_hands_1_2(testing::BarePeer& peer) {
    client.on_data = [&](std::string_view text) {
      append(peer.incoming, as_bytes(text));
      peer.shake_hands();
      client.connection->write(std::exchange(peer.outgoing, {}));
    };
    server.connection->start_tls_server(server_context);
    client.connection->start();
    peer.shake_hands();
    client.connection->write(std::exchange(peer.outgoing, {}));
    ASSERT_TRUE(until(
        [&] { return server.tls.has_value() && mbedtls_ssl_is_handshake_over(&peer.ssl) != 0; }));
    client.on_data = nullptr;
  }

  testing::TestCertificate certificate;
  std::shared_ptr<const crypto::TlsServerContext> server_context;
  std::shared_ptr<const crypto::TlsClientContext> client_context;
};

TEST_F(ConnectionTlsTest, ShakesHandsAndTellsTheFacts) {
  connect_pair();
  start_tls_both();
  EXPECT_FALSE(client.tls.has_value()) << "a callback ran inside start_tls_client()";
  ASSERT_TRUE(until([this] { return client.tls && server.tls; }));
  EXPECT_EQ(client.tls->version, "TLSv1.3");
  EXPECT_EQ(server.connection->tls_facts()->version, "TLSv1.3");
}

TEST_F(ConnectionTlsTest, SendsWhatWasWrittenBeforeTheHandshakeWasDone) {
  connect_pair();
  start_tls_both();
  client.write("written early");
  EXPECT_EQ(client.connection->pending_bytes(), 13U);
  ASSERT_TRUE(until([this] { return server.received == "written early"; }));
  ASSERT_TRUE(until([this] { return client.drained == 1; }));
}

TEST_F(ConnectionTlsTest, CarriesABigTransferBothWaysThroughPauses) {
  connect_pair();
  const std::string sent = pattern_text(6U << 20);
  Timer resumer(*loop);
  int pauses = 0;
  server.on_data = [&](std::string_view text) {
    server.write(text);
    if (server.received.size() / (256U << 10) <= static_cast<std::size_t>(pauses)) return;
    ++pauses;
    server.connection->pause();
    const std::size_t at = server.received.size();
    resumer.start(Duration(2), [&, at] {
      EXPECT_EQ(server.received.size(), at) << "delivered while paused";
      server.connection->resume();
    });
  };
  start_tls_both();
  client.write(sent);
  ASSERT_TRUE(until([&] { return client.received.size() >= sent.size() || client.closed; }));
  EXPECT_TRUE(client.received == sent);
  EXPECT_GE(pauses, 15);
}

TEST_F(ConnectionTlsTest, KeepsDecryptedOctetsWhilePausedAndHandsThemOverAfterwards) {
  connect_pair();
  bool paused_in_time = false;
  server.connection->set_events(
      {.on_data = [&](ByteView octets) { server.received += as_text(octets); },
       .on_tls =
           [&](const crypto::TlsFacts&) {
             server.connection->pause();
             paused_in_time = true;
           },
       .on_closed = [&](const std::optional<Error>&) { server.closed = true; },
       .on_drained = nullptr});
  start_tls_both();
  client.write("right behind the handshake");
  ASSERT_TRUE(until([&] { return paused_in_time && client.drained > 0; }));
  client.connection->close_after_writing();
  run_for(*loop, Duration(50));
  EXPECT_EQ(server.received, "");
  EXPECT_FALSE(server.closed);
  server.connection->resume();
  EXPECT_EQ(server.received, "") << "a callback ran inside resume()";
  ASSERT_TRUE(until([&] { return server.closed; }));
  EXPECT_EQ(server.received, "right behind the handshake");
}

TEST_F(ConnectionTlsTest, EndsPolitelyWithACloseNotify) {
  connect_pair();
  start_tls_both();
  ASSERT_TRUE(until([this] { return client.tls && server.tls; }));
  client.write("QUIT\r\n");
  client.connection->close_after_writing();
  ASSERT_TRUE(until([this] { return server.closed; }));
  EXPECT_EQ(server.received, "QUIT\r\n");
  EXPECT_FALSE(server.error.has_value());
}

TEST_F(ConnectionTlsTest, EndsPolitelyWithoutACloseNotifyToo) {
  connect_pair();
  start_tls_both();
  ASSERT_TRUE(until([this] { return client.tls && server.tls; }));
  client.connection->close();
  ASSERT_TRUE(until([this] { return server.closed; }));
  EXPECT_FALSE(server.error.has_value());
}

TEST_F(ConnectionTlsTest, AHandshakeThatIsCutOffIsAnError) {
  connect_pair();
  server.connection->start_tls_server(server_context);
  client.write("\x16\x03\x01");
  client.connection->close_after_writing();
  ASSERT_TRUE(until([this] { return server.closed; }));
  ASSERT_TRUE(server.error.has_value());
  EXPECT_TRUE(server.error->operation.starts_with("TLS handshake with 127.0.0.1:"))
      << server.error->text();
}

TEST_F(ConnectionTlsTest, AWrongNameIsRefusedInWordsAndTheServerHearsTheAlert) {
  // RFC 9525 §6: the certificate must name the host.
  connect_pair();
  start_tls_both("other.example");
  ASSERT_TRUE(until([this] { return client.closed && server.closed; }));
  ASSERT_TRUE(client.error.has_value());
  EXPECT_NE(client.error->text().find("other.example"), std::string::npos) << client.error->text();
  EXPECT_NE(client.error->text().find(listener->address().text()), std::string::npos);
  ASSERT_TRUE(server.error.has_value()) << "no alert came";
  EXPECT_FALSE(client.tls.has_value());
}

TEST_F(ConnectionTlsTest, PlainTextOnATlsPortIsAnError) {
  connect_pair();
  server.connection->start_tls_server(server_context);
  client.connection->start();
  client.write("EHLO printer\r\n");
  ASSERT_TRUE(until([this] { return server.closed; }));
  EXPECT_TRUE(server.error.has_value());
}

TEST_F(ConnectionTlsTest, UpgradesAfterStarttls) {
  connect_pair();
  server.on_data = [this](std::string_view text) {
    if (text != "STARTTLS\r\n") return;
    server.write("220 2.0.0 go ahead\r\n");
    server.connection->start_tls_server(server_context);
  };
  client.on_data = [this](std::string_view text) {
    if (text != "220 2.0.0 go ahead\r\n") return;
    client.connection->start_tls_client(client_context, "mail.example");
    client.write("EHLO again\r\n");
  };
  server.connection->start();
  client.connection->start();
  client.write("STARTTLS\r\n");
  ASSERT_TRUE(until([this] { return server.received == "STARTTLS\r\nEHLO again\r\n"; }));
  EXPECT_TRUE(server.tls.has_value());
}

TEST_F(ConnectionTlsTest, TheServerNeverTakesOctetsInjectedBehindStarttls) {
  // RFC 3207 §4.2: what came in clear before the handshake is not heard after it.
  connect_pair();
  server.on_data = [this](std::string_view) { server.connection->pause(); };
  server.connection->start();
  client.connection->start();
  client.write("STARTTLS\r\n");
  ASSERT_TRUE(until([this] { return server.received == "STARTTLS\r\n"; }));
  client.write("MAIL FROM:<evil@example>\r\n");  // waits in the kernel
  run_for(*loop, Duration(20));
  server.on_data = nullptr;
  server.connection->start_tls_server(server_context);
  server.connection->resume();
  ASSERT_TRUE(until([this] { return server.closed; }));
  EXPECT_EQ(server.received, "STARTTLS\r\n");
  EXPECT_TRUE(server.error.has_value());
}

TEST_F(ConnectionTlsTest, TheClientEndsWhenOctetsInClearComeBehindTheAnswerToStarttls) {
  // RFC 3207 §4.2, the other direction: an answer injected before the handshake is fatal.
  connect_pair();
  client.on_data = [this](std::string_view) { client.connection->pause(); };
  server.connection->start();
  client.connection->start();
  server.write("220 go ahead\r\n");
  ASSERT_TRUE(until([this] { return client.received == "220 go ahead\r\n"; }));
  server.write("250 injected\r\n");
  run_for(*loop, Duration(20));
  client.connection->start_tls_client(client_context, "mail.example");
  EXPECT_FALSE(client.closed) << "a callback ran inside start_tls_client()";
  ASSERT_TRUE(until([this] { return client.closed; }));
  ASSERT_TRUE(client.error.has_value());
  EXPECT_EQ(client.error->kind, ErrorKind::denied);
  EXPECT_NE(client.error->detail.find("RFC 3207"), std::string::npos);
  EXPECT_EQ(client.received, "220 go ahead\r\n");
  EXPECT_EQ(server.received, "") << "a ClientHello was sent";
}

TEST_F(ConnectionTlsTest, MayBeDestroyedInsideOnTls) {
  connect_pair();
  bool whole = false;
  server.connection->set_events({.on_data = nullptr,
                                 .on_tls =
                                     [&, kept = std::string(100, 'x')](const crypto::TlsFacts&) {
                                       server.connection.reset();
                                       whole = kept.size() == 100;
                                     },
                                 .on_closed = nullptr,
                                 .on_drained = nullptr});
  start_tls_both();
  ASSERT_TRUE(until([&] { return whole && client.closed; }));
}

TEST_F(ConnectionTlsTest, MayBeDestroyedInsideOnDataAndOnClosed) {
  connect_pair();
  server.on_data = [this](std::string_view) { server.connection.reset(); };
  bool told = false;
  client.connection->set_events({.on_data = nullptr,
                                 .on_tls = nullptr,
                                 .on_closed =
                                     [&](const std::optional<Error>&) {
                                       client.connection.reset();
                                       told = true;
                                     },
                                 .on_drained = nullptr});
  start_tls_both();
  client.write("data");
  ASSERT_TRUE(until([&] { return told; }));
  EXPECT_EQ(server.received, "data");
}

// A blocking TLS 1.2 client on mbedTLS itself, because ours always offers 1.3 too.
std::string echo_over_tls_1_2(const SocketAddress& to, const std::string& sent) {
  mbedtls_ssl_config config;
  mbedtls_ssl_context ssl;
  mbedtls_ssl_config_init(&config);
  mbedtls_ssl_init(&ssl);
  mbedtls_net_context socket{::socket(AF_INET, SOCK_STREAM, 0)};
  const OsAddress address = to_os_address(to);
  std::string received;
  const auto random = [](void*, unsigned char* out, std::size_t size) {
    crypto::fill_random(std::as_writable_bytes(std::span(out, size)));
    return 0;
  };
  if (::connect(socket.fd, address.get(), address.length) == 0 &&
      mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) == 0) {
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_max_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_rng(&config, random, nullptr);
    mbedtls_ssl_set_hostname(&ssl, nullptr);
    const bool ready = mbedtls_ssl_setup(&ssl, &config) == 0;
    const auto send = [](void* context, const unsigned char* data, std::size_t size) {
      return static_cast<int>(
          ::send(static_cast<mbedtls_net_context*>(context)->fd, data, size, MSG_NOSIGNAL));
    };
    const auto receive = [](void* context, unsigned char* data, std::size_t size) {
      return static_cast<int>(
          ::recv(static_cast<mbedtls_net_context*>(context)->fd, data, size, 0));
    };
    mbedtls_ssl_set_bio(&ssl, &socket, send, receive, nullptr);
    bool going = ready && mbedtls_ssl_handshake(&ssl) == 0;
    for (std::size_t at = 0; going && at < sent.size();) {
      // A piece at a time, read back before the next, so that neither side can block the other.
      const std::size_t piece = std::min<std::size_t>(sent.size() - at, 10'000);
      for (std::size_t out = 0; going && out < piece;) {
        const int code = mbedtls_ssl_write(
            &ssl, reinterpret_cast<const unsigned char*>(sent.data() + at + out), piece - out);
        going = code > 0;
        if (going) out += static_cast<std::size_t>(code);
      }
      at += piece;
      unsigned char buffer[4'096];
      while (going && received.size() < at) {
        const int code = mbedtls_ssl_read(&ssl, buffer, sizeof buffer);
        going = code > 0;
        if (going) received.append(reinterpret_cast<char*>(buffer), static_cast<std::size_t>(code));
      }
    }
    mbedtls_ssl_close_notify(&ssl);
  }
  ::close(socket.fd);
  mbedtls_ssl_free(&ssl);
  mbedtls_ssl_config_free(&config);
  return received;
}

TEST_F(ConnectionTlsTest, SpeaksTls12WithAClientThatKnowsNothingNewer) {
  auto listening = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false,
                                       [this](std::unique_ptr<Connection> made) {
                                         server.attach(std::move(made));
                                         server.connection->start_tls_server(server_context);
                                       });
  ASSERT_TRUE(listening.has_value());
  listener = std::move(*listening);
  server.on_data = [this](std::string_view text) { server.write(text); };
  const std::string sent = pattern_text(2U << 20);
  std::string received;
  std::jthread old_client(
      [&, to = listener->address()] { received = echo_over_tls_1_2(to, sent); });
  ASSERT_TRUE(until([this] { return server.closed; }));
  old_client.join();
  EXPECT_TRUE(received == sent);
  ASSERT_TRUE(server.tls.has_value());
  EXPECT_EQ(server.tls->version, "TLSv1.2");
  EXPECT_FALSE(server.error.has_value());
}

// RFC 5246 §7.2.2: each of these hellos is answered by an alert, which the peer does not read.
TEST_F(ConnectionTlsTest, AFloodOfHellosAfterTheHandshakeEndsTheConnectionInLittleMemory) {
  connect_pair();
  testing::BarePeer peer(MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_VERSION_TLS1_2, certificate);
  shake_hands_1_2(peer);
  client.connection->pause();
  std::size_t waited_max = 0;
  for (int i = 0; i < 500 && !server.closed; ++i) {
    client.connection->write(peer.handshake_record(testing::empty_client_hello, 4'000));
    run_for(*loop, Duration(1));
    if (!server.closed) waited_max = std::max(waited_max, server.connection->pending_bytes());
  }
  ASSERT_TRUE(server.closed);
  ASSERT_TRUE(server.error.has_value());
  EXPECT_NE(server.error->text().find("renegotiate"), std::string::npos) << server.error->text();
  EXPECT_LE(waited_max, 65'536U);
}

TEST_F(ConnectionTlsTest, ReadsNoMoreWhileAnswersOfTlsWaitBehindMuchThatThePeerDoesNotRead) {
  connect_pair();
  testing::BarePeer peer(MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_VERSION_TLS1_2, certificate);
  shake_hands_1_2(peer);
  client.connection->pause();
  server.write(pattern_text(16U << 20));
  run_for(*loop, Duration(20));
  ASSERT_GT(server.connection->pending_bytes(), 1U << 20);
  client.connection->write(peer.text_record("before"));
  ASSERT_TRUE(until([this] { return server.received == "before"; })) << "data of ours held it";
  client.connection->write(peer.handshake_record(testing::empty_client_hello, 1));
  run_for(*loop, Duration(20));
  client.connection->write(peer.text_record(" and behind"));
  run_for(*loop, Duration(50));
  EXPECT_EQ(server.received, "before");
  client.connection->resume();
  ASSERT_TRUE(until([this] { return server.received == "before and behind"; }));
  EXPECT_FALSE(server.closed);
}

}  // namespace
}  // namespace postern::net
