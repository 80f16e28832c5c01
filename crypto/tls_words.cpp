// The words for failed TLS; see the header.
#include "crypto/tls_words.hpp"

#include <fmt/format.h>
#include <mbedtls/ssl.h>
#include <algorithm>

#include "crypto/mbedtls_support.hpp"
#include "crypto/tls_guard.hpp"

namespace postern::crypto {

namespace {

constexpr std::uint16_t tls_1_2 = 0x0303;

// RFC 8446 §6.2, where there is something an operator can do about it.
std::string alert_words(std::uint8_t alert, bool server) {
  const std::string_view peer = server ? "the client" : "the server";
  switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
      return fmt::format("{} does not accept our certificate", peer);
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
      return fmt::format(
          "{} does not know the authority that issued our certificate; add its root there, or send "
          "the whole chain",
          peer);
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
      return fmt::format(
          "{} says that our certificate has expired; renew it, or set the clock there", peer);
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
      return fmt::format(
          "{} cannot use our certificate's kind of key; an RSA key is what old devices know", peer);
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
    case MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY:
      return fmt::format("{} found no cipher suite or setting that both ends allow", peer);
    case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
      return fmt::format("{} speaks none of the TLS versions that we allow", peer);
    case MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME:
      return fmt::format("{} does not serve the host name that we asked for", peer);
    case MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL:
      return fmt::format("{} wants another application protocol (ALPN)", peer);
    case MBEDTLS_SSL_ALERT_MSG_USER_CANCELED:
      return fmt::format("{} cancelled", peer);
    default:
      return fmt::format("{} broke off with TLS alert {}", peer, alert);
  }
}

std::string version_words(const TlsFailure& failure) {
  if (!failure.server) return "the server speaks none of the TLS versions that we allow";
  if (failure.offered_version != 0 && failure.offered_version < tls_1_2) {
    return fmt::format(
        "the client offers only {}; it needs TLS 1.2 or newer, so update its firmware or switch "
        "TLS 1.2 on",
        tls_version_name(failure.offered_version));
  }
  return "the client offers no TLS version that we allow (see the version_min setting)";
}

std::string words(const TlsFailure& failure) {
  if (!failure.certificate_problem.empty()) return std::string(failure.certificate_problem);
  if (failure.plain_text) {
    return failure.server
               ? "the client sent plain text where TLS was expected; set it to TLS from the start "
                 "(SSL/TLS), or to the STARTTLS port"
               : "the server answered in plain text where TLS was expected; is this a STARTTLS "
                 "port?";
  }
  if (failure.asks_on_and_on) {
    return fmt::format("{} asks on and on to renegotiate, which is refused (RFC 5246 §7.2.2)",
                       failure.server ? "the client" : "the server");
  }
  if (failure.alert) return alert_words(*failure.alert, failure.server);
  switch (failure.code) {
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
      return version_words(failure);
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
      // A TLS 1.0 client meets this too, where its hello has no extension that mbedTLS insists on.
      if (failure.server && failure.offered_version != 0 && failure.offered_version < tls_1_2) {
        return version_words(failure);
      }
      return fmt::format(
          "{} and we have no cipher suite, group or signature in common (needed: ECDHE with "
          "AES-GCM "
          "or ChaCha20-Poly1305, and a key that fits our certificate)",
          failure.server ? "the client" : "the server");
    case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
      return "the client offers application protocols (ALPN) and \"smtp\" is not among them; it "
             "means "
             "another service";
    case MBEDTLS_ERR_SSL_INVALID_MAC:
      return "what came was changed on the way, or the peer's keys are not ours";
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
      return "the server's certificate does not verify";
    default:
      return mbedtls_words(failure.code);
  }
}

}  // namespace

Error tls_error(const TlsFailure& failure) {
  std::string operation = failure.handshake_done ? "TLS connection" : "TLS handshake";
  if (failure.server) {
    operation += " with the client";
  } else {
    operation += " with " + std::string(failure.host);
  }
  const bool refused = !failure.certificate_problem.empty();
  return {refused ? ErrorKind::denied : ErrorKind::invalid, std::move(operation), words(failure)};
}

std::string standard_suite_name(std::string_view suite) {
  constexpr std::string_view own_prefix = "TLS1-3-";
  std::string name(suite);
  if (suite.starts_with(own_prefix)) {
    name = fmt::format("TLS-{}", suite.substr(own_prefix.size()));
  }
  std::ranges::replace(name, '-', '_');
  return name;
}

}  // namespace postern::crypto
