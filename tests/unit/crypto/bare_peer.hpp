// A bare mbedTLS of either side without a socket, which can do what our engine never does: speak
// only one version, and send handshake messages behind the handshake.
//
// Sharp edge: `outgoing` is the test's to take and `incoming` the test's to fill.
#pragma once

#include <gtest/gtest.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <sodium.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "relay/base/bytes.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

// mbedTLS's own way to make a record of what lies in out_msg; in its library, not in its headers.
extern "C" int mbedtls_ssl_write_record(mbedtls_ssl_context* ssl, int force_flush);

namespace postern::testing {

// RFC 5246 §7.4.1.1 and §7.4.1.2: an empty HelloRequest and an empty ClientHello.
inline constexpr std::string_view empty_hello_request("\x00\x00\x00\x00", 4);
inline constexpr std::string_view empty_client_hello("\x01\x00\x00\x00", 4);

struct Wires {
  Bytes outgoing;
  Bytes incoming;
};

// `wires` must stay where it is as long as `ssl` is used.
inline void connect_to(mbedtls_ssl_context& ssl, Wires& wires) {
  mbedtls_ssl_set_bio(
      &ssl, &wires,
      [](void* self, const unsigned char* data, std::size_t size) {
        append(static_cast<Wires*>(self)->outgoing, std::as_bytes(std::span(data, size)));
        return static_cast<int>(size);
      },
      [](void* self, unsigned char* data, std::size_t size) {
        Bytes& wire = static_cast<Wires*>(self)->incoming;
        if (wire.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
        const std::size_t take = std::min(size, wire.size());
        std::copy_n(wire.begin(), take, reinterpret_cast<std::byte*>(data));
        wire.erase(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(take));
        return static_cast<int>(take);
      },
      nullptr);
}

class BarePeer : public Wires {
 public:
  BarePeer(int endpoint, mbedtls_ssl_protocol_version version,
           const testing::TestCertificate& certificate) {
    mbedtls_ssl_config_init(&config_);
    mbedtls_ssl_init(&ssl);
    mbedtls_x509_crt_init(&chain_);
    mbedtls_pk_init(&key_);
    EXPECT_EQ(mbedtls_ssl_config_defaults(&config_, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT),
              0);
    mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&config_, random, nullptr);
    mbedtls_ssl_conf_min_tls_version(&config_, version);
    mbedtls_ssl_conf_max_tls_version(&config_, version);
    const std::string key(certificate.private_key_pem.text());
    EXPECT_EQ(mbedtls_x509_crt_parse(&chain_, octets(certificate.certificate_pem),
                                     certificate.certificate_pem.size() + 1),
              0);
    EXPECT_EQ(mbedtls_pk_parse_key(&key_, octets(key), key.size() + 1, nullptr, 0, random, nullptr),
              0);
    EXPECT_EQ(mbedtls_ssl_conf_own_cert(&config_, &chain_, &key_), 0);
    EXPECT_EQ(mbedtls_ssl_setup(&ssl, &config_), 0);
    EXPECT_EQ(mbedtls_ssl_set_hostname(&ssl, nullptr), 0);
    connect_to(ssl, *this);
  }
  ~BarePeer() {
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&config_);
    mbedtls_x509_crt_free(&chain_);
    mbedtls_pk_free(&key_);
  }
  BarePeer(const BarePeer&) = delete;
  BarePeer& operator=(const BarePeer&) = delete;

  // As far as what came allows.
  void shake_hands() {
    if (mbedtls_ssl_is_handshake_over(&ssl) == 0) (void)mbedtls_ssl_handshake(&ssl);
  }
  // One record that holds `message` `count` times over.
  Bytes handshake_record(std::string_view message, std::size_t count) {
    std::string body;
    for (std::size_t i = 0; i < count; ++i) body += message;
    ssl.MBEDTLS_PRIVATE(out_msgtype) = MBEDTLS_SSL_MSG_HANDSHAKE;
    ssl.MBEDTLS_PRIVATE(out_msglen) = body.size();
    std::ranges::copy(body, ssl.MBEDTLS_PRIVATE(out_msg));
    EXPECT_EQ(mbedtls_ssl_write_record(&ssl, 1), 0);
    return std::exchange(outgoing, {});
  }
  Bytes text_record(std::string_view text) {
    EXPECT_EQ(mbedtls_ssl_write(&ssl, octets(text), text.size()), static_cast<int>(text.size()));
    return std::exchange(outgoing, {});
  }

  mbedtls_ssl_context ssl{};

 private:
  static const unsigned char* octets(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  }
  static int random(void*, unsigned char* out, std::size_t size) {
    randombytes_buf(out, size);
    return 0;
  }
  mbedtls_ssl_config config_;
  mbedtls_x509_crt chain_;
  mbedtls_pk_context key_;
};

}  // namespace postern::testing
