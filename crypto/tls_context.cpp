// The certificates and keys of TLS, and the settings that every engine shares; declared in
// crypto/tls.hpp.
#include <fmt/format.h>
#include <mbedtls/ssl_ciphersuites.h>

#include <algorithm>

#include "crypto/mbedtls_support.hpp"
#include "crypto/tls.hpp"
#include "crypto/tls_parts.hpp"

namespace postern::crypto {

namespace {

// A ticket lives half a day; then its key has rotated away (RFC 9325 §3.4 wants at most a week).
constexpr std::uint32_t ticket_life_seconds = 12 * 60 * 60;
// A bundle of all public roots has 220 KB; ten times that is no bundle.
constexpr std::size_t certificates_pem_bytes_max = 2UZ * 1024 * 1024;
constexpr unsigned rsa_bits_min = 2048;  // RFC 9325 §4.5

// RFC 9325 §4.2: AEAD with ephemeral elliptic curve keys only. Zero ends the list.
constexpr int suites[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
                          MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                          MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                          MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                          MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                          MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                          MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                          MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                          MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                          0};

constexpr std::uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

constexpr std::uint16_t signatures[] = {
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,       MBEDTLS_TLS1_3_SIG_NONE};

constexpr mbedtls_x509_crt_profile profile = {
    MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSASSA_PSS) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA),
    MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1),
    rsa_bits_min};

int parse_certificates(mbedtls_x509_crt& chain, const std::string& pem) {
  return mbedtls_x509_crt_parse(&chain, reinterpret_cast<const unsigned char*>(pem.c_str()),
                                pem.size() + 1);
}

Result<> load_certificate(TlsServerContext::Parts& parts, const std::string& pem) {
  const std::string operation = "load the server's certificate";
  if (pem.empty() || pem.size() > certificates_pem_bytes_max) {
    return fail(ErrorKind::invalid, operation, "the file is empty or too long");
  }
  if (pem.contains("PRIVATE KEY-----") && !pem.contains("BEGIN CERTIFICATE-----")) {
    return fail(ErrorKind::invalid, operation,
                "the file holds a private key where the certificate is expected");
  }
  const int code = parse_certificates(parts.certificate.chain, pem);
  if (code > 0) {
    return fail(ErrorKind::invalid, operation,
                fmt::format("{} certificates of the chain cannot be read", code));
  }
  if (code < 0) {
    return fail(ErrorKind::invalid, operation,
                "no certificate in PEM form, the server's own first: " + mbedtls_words(code));
  }
  return {};
}

Result<> load_private_key(TlsServerContext::Parts& parts, const Secret& pem) {
  const std::string operation = "load the server's private key";
  if (pem.text().contains("ENCRYPTED")) {
    return fail(ErrorKind::unsupported, operation,
                "the key is encrypted; store it without a passphrase, readable by root alone");
  }
  const Secret terminated = with_terminator(pem);
  const int code = mbedtls_pk_parse_key(
      &parts.key.key, reinterpret_cast<const unsigned char*>(terminated.view().data()),
      terminated.size(), nullptr, 0, mbedtls_random, nullptr);
  if (code != 0) {
    return fail(ErrorKind::invalid, operation,
                "no EC or RSA private key in PEM form: " + mbedtls_words(code));
  }
  if (mbedtls_pk_get_type(&parts.key.key) == MBEDTLS_PK_RSA &&
      mbedtls_pk_get_bitlen(&parts.key.key) < rsa_bits_min) {
    return fail(ErrorKind::invalid, operation,
                fmt::format("the RSA key has {} bits, it needs {} or more (RFC 9325 §4.5)",
                            mbedtls_pk_get_bitlen(&parts.key.key), rsa_bits_min));
  }
  if (mbedtls_pk_check_pair(&parts.certificate.chain.pk, &parts.key.key, mbedtls_random, nullptr) !=
      0) {
    return fail(ErrorKind::invalid, operation,
                "it does not belong to the server's certificate (the first one of its file)");
  }
  return {};
}

}  // namespace

int configure_tls(mbedtls_ssl_config& config, int endpoint, TlsVersion version_min) {
  const int code = mbedtls_ssl_config_defaults(&config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                               MBEDTLS_SSL_PRESET_DEFAULT);
  if (code != 0) return code;
  mbedtls_ssl_conf_rng(&config, mbedtls_random, nullptr);
  mbedtls_ssl_conf_min_tls_version(&config, version_min == TlsVersion::tls_1_3
                                                ? MBEDTLS_SSL_VERSION_TLS1_3
                                                : MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_max_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_3);
  mbedtls_ssl_conf_ciphersuites(&config, suites);
  mbedtls_ssl_conf_groups(&config, groups);
  mbedtls_ssl_conf_sig_algs(&config, signatures);
  mbedtls_ssl_conf_cert_profile(&config, &profile);
  mbedtls_ssl_conf_tls13_key_exchange_modes(&config,
                                            MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
  // RFC 9325 §3.5: no renegotiation, and no peer that cannot tell a first handshake from a second.
  mbedtls_ssl_conf_renegotiation(&config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
  mbedtls_ssl_conf_legacy_renegotiation(&config, MBEDTLS_SSL_LEGACY_BREAK_HANDSHAKE);
  return 0;
}

const mbedtls_x509_crt_profile& certificate_profile() { return profile; }

TlsServerContext::TlsServerContext() : parts_(std::make_unique<Parts>()) {}
TlsServerContext::~TlsServerContext() = default;

WallTime TlsServerContext::expires() const {
  WallTime earliest = WallTime::max();
  const mbedtls_x509_crt* certificate = &parts_->certificate.chain;
  for (; certificate != nullptr; certificate = certificate->next) {
    const mbedtls_x509_time& end = certificate->valid_to;
    const WallTime time = std::chrono::sys_days(std::chrono::year(end.year) / end.mon / end.day) +
                          std::chrono::hours(end.hour) + std::chrono::minutes(end.min) +
                          std::chrono::seconds(end.sec);
    earliest = std::min(earliest, time);
  }
  return earliest;
}

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::create(
    TlsServerSettings settings) {
  std::shared_ptr<TlsServerContext> context(new TlsServerContext);
  Parts& parts = *context->parts_;
  parts.version_min = settings.version_min;
  if (auto loaded = load_certificate(parts, settings.certificate_pem); !loaded) {
    return std::unexpected(loaded.error());
  }
  const Secret key_pem = std::move(settings.private_key_pem);  // wiped when this function ends
  if (auto loaded = load_private_key(parts, key_pem); !loaded) {
    return std::unexpected(loaded.error());
  }
  const int code = mbedtls_ssl_ticket_setup(&parts.tickets, mbedtls_random, nullptr,
                                            MBEDTLS_CIPHER_AES_256_GCM, ticket_life_seconds);
  if (code != 0) {
    return fail(ErrorKind::io, "prepare TLS session tickets", mbedtls_words(code));
  }
  return context;
}

TlsClientContext::TlsClientContext() : parts_(std::make_unique<Parts>()) {}
TlsClientContext::~TlsClientContext() = default;

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::create(
    const TlsClientSettings& settings) {
  const std::string operation = "load the trusted root certificates";
  if (settings.roots_pem.empty() || settings.roots_pem.size() > certificates_pem_bytes_max) {
    return fail(ErrorKind::invalid, operation, "the file is empty or too long");
  }
  std::shared_ptr<TlsClientContext> context(new TlsClientContext);
  context->parts_->version_min = settings.version_min;
  // More than none is enough: a system's bundle may hold a root of a kind that mbedTLS does not
  // know.
  const int code = parse_certificates(context->parts_->roots.chain, settings.roots_pem);
  if (code < 0 || context->parts_->roots.chain.raw.p == nullptr) {
    return fail(ErrorKind::invalid, operation,
                "there is no readable certificate in PEM form: " + mbedtls_words(code));
  }
  return context;
}

std::shared_ptr<const TlsClientContext> TlsClientContext::expecting(
    std::shared_ptr<const TlsServerContext> server) {
  std::shared_ptr<TlsClientContext> context(new TlsClientContext);
  context->parts_->expected = std::move(server);
  return context;
}

}  // namespace postern::crypto
