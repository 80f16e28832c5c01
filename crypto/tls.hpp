// TLS without a socket: octets from the peer go in, octets for the peer and plain text come out.
//
// Promise: TLS 1.2 with ECDHE and AEAD suites, and TLS 1.3; no renegotiation, compression, early
// data, static RSA, CBC or PSK-only key exchange (RFC 9325, RFC 8996). A client engine cannot be
// made without roots and a host name, and never completes a handshake with a certificate that does
// not verify (RFC 9525: names in subjectAltName only). A server that is offered ALPN without "smtp"
// refuses; none offered is fine. mbedTLS stays behind this header, so that a second backend is a
// matter of this folder. Sharp edge: an engine belongs to one thread; a context may be used by
// engines of several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

enum class TlsVersion { tls_1_2, tls_1_3 };

struct TlsServerSettings {
  std::string certificate_pem;  // leaf first, then intermediates
  Secret private_key_pem;
  TlsVersion version_min = TlsVersion::tls_1_2;
};

// The certificate, key and ticket keys of a server. Thread-safe once made; immutable but for ticket
// keys.
class TlsServerContext {
 public:
  // Errors say which of certificate and key is wrong, and when they do not belong together.
  [[nodiscard]] static Result<std::shared_ptr<const TlsServerContext>> create(
      TlsServerSettings settings);
  ~TlsServerContext();
  // When the first certificate of the chain ends.
  [[nodiscard]] WallTime expires() const;
  struct Parts;
  [[nodiscard]] Parts& parts() const { return *parts_; }

 private:
  TlsServerContext();
  std::unique_ptr<Parts> parts_;
};

struct TlsClientSettings {
  std::string roots_pem;  // one or more certificates
  TlsVersion version_min = TlsVersion::tls_1_2;
};

class TlsClientContext {
 public:
  [[nodiscard]] static Result<std::shared_ptr<const TlsClientContext>> create(
      const TlsClientSettings& settings);
  // For a server's test of itself: only the very chain of `server` is accepted, whatever it names
  // and whoever issued it.
  [[nodiscard]] static std::shared_ptr<const TlsClientContext> expecting(
      std::shared_ptr<const TlsServerContext> server);
  ~TlsClientContext();
  struct Parts;
  [[nodiscard]] Parts& parts() const { return *parts_; }

 private:
  TlsClientContext();
  std::unique_ptr<Parts> parts_;
};

struct TlsFacts {       // of a finished handshake
  std::string version;  // "TLSv1.3"
  std::string cipher;   // "TLS_AES_256_GCM_SHA384"
  bool resumed = false;
};

class TlsEngine {
 public:
  enum class Status {
    need_input,  // feed more from the peer (after sending take_output())
    ready,       // handshake done
    closed,      // close_notify came: no more plain text will
    failed,      // see error(); send take_output() (an alert may be in it), then close
  };

  [[nodiscard]] static Result<std::unique_ptr<TlsEngine>> server(
      std::shared_ptr<const TlsServerContext> context);
  // `host` is what the certificate must name.
  [[nodiscard]] static Result<std::unique_ptr<TlsEngine>> client(
      std::shared_ptr<const TlsClientContext> context, std::string host);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  // Gives octets from the peer and does what can be done with them: handshake, then decryption.
  Status receive(ByteView from_peer);
  // Starts or continues the handshake without input (a client's first step).
  Status advance();
  // Plain text decrypted so far, moved out; empty when none.
  [[nodiscard]] Bytes take_plaintext();
  // Encrypts; only when ready.
  [[nodiscard]] Result<> send(ByteView plaintext);
  void send_close_notify();
  // Octets for the peer produced so far, moved out; empty when none.
  [[nodiscard]] Bytes take_output();

  [[nodiscard]] Status status() const;
  [[nodiscard]] const Error& error()
      const;  // only when failed: operator's words ("certificate expired …")
  [[nodiscard]] TlsFacts facts() const;  // only when ready

 private:
  TlsEngine();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Whether the first octets on a STARTTLS port look like a TLS ClientHello, so that the log can name
// the setting to change at the device.
[[nodiscard]] bool looks_like_client_hello(ByteView first_octets);

}  // namespace postern::crypto
