// Loading, making and publishing DKIM keys; declared with its promise in crypto/dkim.hpp.
#include <fmt/format.h>
#include <mbedtls/asn1.h>
#include <mbedtls/pem.h>
#include <mbedtls/rsa.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "crypto/dkim.hpp"
#include "crypto/dkim_key_parts.hpp"
#include "crypto/mbedtls_support.hpp"
#include "relay/base/assert.hpp"
#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"

namespace postern::crypto {

namespace {

// RFC 8301 §3.2: signers use at least 1024 and should use 2048; verifiers need not take more than
// 4096.
constexpr std::size_t rsa_bits_min = 2048;
constexpr std::size_t rsa_bits_max = 4096;
constexpr int rsa_public_exponent = 65'537;
constexpr std::size_t domain_bytes_max = 253;  // RFC 1035 §2.3.4, without the root's dot
constexpr std::size_t selector_bytes_max =
    63;  // it has to share a name with _domainkey and the domain
// A PEM file with an RSA key of 4096 bits has 3.3 KB.
constexpr std::size_t pem_bytes_max = 16UZ * 1024;
// 550 octets for a key of 4096 bits, with its frame.
constexpr std::size_t public_key_der_bytes_max = 1024;
constexpr std::size_t private_key_pem_bytes_max = 4096;

// RFC 8410 §7: OneAsymmetricKey, version 0, id-Ed25519, and the seed in two octet strings.
constexpr std::array<unsigned char, 16> ed25519_pkcs8_prefix = {
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
constexpr const char* pkcs8_begin = "-----BEGIN PRIVATE KEY-----";
constexpr const char* pkcs8_end = "-----END PRIVATE KEY-----";

bool is_dns_name(std::string_view name, std::size_t bytes_max) {
  if (name.empty() || name.size() > bytes_max || name.front() == '.' || name.back() == '.' ||
      name.contains("..")) {
    return false;
  }
  return std::ranges::all_of(
      name, [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; });
}

unsigned char* octets(Secret& secret) {
  return reinterpret_cast<unsigned char*>(secret.writable().data());
}
const unsigned char* octets(const Secret& secret) {
  return reinterpret_cast<const unsigned char*>(secret.view().data());
}

// Empty when the PEM holds no PKCS#8 Ed25519 key.
Secret ed25519_seed(const Secret& terminated_pem) {
  mbedtls_pem_context pem;
  mbedtls_pem_init(&pem);
  std::size_t used = 0;
  Secret seed;
  if (mbedtls_pem_read_buffer(&pem, pkcs8_begin, pkcs8_end, octets(terminated_pem), nullptr, 0,
                              &used) == 0) {
    std::size_t size = 0;
    const unsigned char* der = mbedtls_pem_get_buffer(&pem, &size);
    if (size == ed25519_pkcs8_prefix.size() + crypto_sign_SEEDBYTES &&
        std::equal(ed25519_pkcs8_prefix.begin(), ed25519_pkcs8_prefix.end(), der)) {
      seed = Secret(std::as_bytes(
          std::span(der + ed25519_pkcs8_prefix.size(), std::size_t{crypto_sign_SEEDBYTES})));
    }
  }
  mbedtls_pem_free(&pem);  // wipes
  return seed;
}

Secret ed25519_key_of(const Secret& seed) {
  Secret key = Secret::of_size(crypto_sign_SECRETKEYBYTES);
  std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> public_key{};
  crypto_sign_seed_keypair(public_key.data(), octets(key), octets(seed));
  return key;
}

std::string rsa_public_base64(const mbedtls_pk_context& key) {
  std::array<unsigned char, public_key_der_bytes_max> der{};
  const int size = mbedtls_pk_write_pubkey_der(&key, der.data(), der.size());
  POSTERN_ASSERT(size > 0);
  return encode_base64(std::as_bytes(std::span(der).last(static_cast<std::size_t>(size))));
}

// The public half is the last 32 of libsodium's 64 octets.
std::string ed25519_public_base64(const Secret& key) {
  return encode_base64(key.view().last(crypto_sign_PUBLICKEYBYTES));
}

Result<GeneratedDkimKey> generate_ed25519() {
  Secret der = Secret::of_size(ed25519_pkcs8_prefix.size() + crypto_sign_SEEDBYTES);
  Secret seed = Secret::of_size(crypto_sign_SEEDBYTES);
  randombytes_buf(octets(seed), seed.size());
  std::ranges::copy(ed25519_pkcs8_prefix, octets(der));
  std::ranges::copy(seed.view(), der.writable().begin() + ed25519_pkcs8_prefix.size());
  Secret pem = Secret::of_size(private_key_pem_bytes_max);
  std::size_t size = 0;
  const int code =
      mbedtls_pem_write_buffer("-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n",
                               octets(der), der.size(), octets(pem), pem.size(), &size);
  if (code != 0) return fail(ErrorKind::io, "write an Ed25519 key", mbedtls_words(code));
  return GeneratedDkimKey{Secret(pem.view().first(size - 1)),  // without the NUL
                          ed25519_public_base64(ed25519_key_of(seed))};
}

Result<GeneratedDkimKey> generate_rsa() {
  PrivateKey made;
  int code = mbedtls_pk_setup(&made.key, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
  if (code == 0) {
    code = mbedtls_rsa_gen_key(mbedtls_pk_rsa(made.key), mbedtls_random, nullptr, rsa_bits_min,
                               rsa_public_exponent);
  }
  if (code != 0) return fail(ErrorKind::io, "make an RSA key", mbedtls_words(code));
  Secret pem = Secret::of_size(private_key_pem_bytes_max);
  code = mbedtls_pk_write_key_pem(&made.key, octets(pem), pem.size());
  if (code != 0) return fail(ErrorKind::io, "write an RSA key", mbedtls_words(code));
  return GeneratedDkimKey{Secret(pem.text().substr(0, pem.text().find('\0'))),
                          rsa_public_base64(made.key)};
}

}  // namespace

DkimKey::DkimKey() : parts_(std::make_unique<Parts>()) {}
DkimKey::~DkimKey() = default;

Result<std::shared_ptr<const DkimKey>> DkimKey::load(std::string domain, std::string selector,
                                                     const Secret& pem) {
  const std::string operation = fmt::format("load the DKIM key {}._domainkey.{}", selector, domain);
  if (!is_dns_name(domain, domain_bytes_max)) {
    return fail(ErrorKind::invalid, operation, "the domain is no DNS name");
  }
  if (!is_dns_name(selector, selector_bytes_max)) {
    return fail(ErrorKind::invalid, operation,
                "the selector is no DNS name of at most 63 characters");
  }
  if (pem.size() > pem_bytes_max || pem.text().contains('\0')) {
    return fail(ErrorKind::invalid, operation, "this is no PEM file with one key");
  }
  if (pem.text().contains("ENCRYPTED")) {
    return fail(ErrorKind::unsupported, operation,
                "the key is encrypted; store it without a passphrase, readable by root alone");
  }
  std::shared_ptr<DkimKey> loaded(new DkimKey);
  Parts& parts = *loaded->parts_;
  parts.domain = to_lower(domain);
  parts.selector = std::move(selector);
  const Secret terminated = with_terminator(pem);
  if (const Secret seed = ed25519_seed(terminated); !seed.empty()) {
    parts.algorithm = DkimAlgorithm::ed25519_sha256;
    parts.ed25519 = ed25519_key_of(seed);
    parts.public_key_base64 = ed25519_public_base64(parts.ed25519);
    return loaded;
  }
  PrivateKey read;
  const int code = mbedtls_pk_parse_key(&read.key, octets(terminated), terminated.size(), nullptr,
                                        0, mbedtls_random, nullptr);
  if (code != 0) {
    return fail(ErrorKind::invalid, operation,
                "no RSA or Ed25519 private key in PEM form: " + mbedtls_words(code));
  }
  if (mbedtls_pk_get_type(&read.key) != MBEDTLS_PK_RSA) {
    return fail(ErrorKind::unsupported, operation,
                "DKIM knows RSA and Ed25519 keys only (RFC 8301, RFC 8463), this is another kind");
  }
  const std::size_t bits = mbedtls_pk_get_bitlen(&read.key);
  if (bits < rsa_bits_min || bits > rsa_bits_max) {
    return fail(ErrorKind::invalid, operation,
                fmt::format("the RSA key has {} bits, it needs {} to {} (RFC 8301 §3.2)", bits,
                            rsa_bits_min, rsa_bits_max));
  }
  auto signer = RsaSigner::make(*mbedtls_pk_rsa(read.key));
  if (!signer) return std::unexpected(signer.error());
  parts.algorithm = DkimAlgorithm::rsa_sha256;
  parts.rsa = std::move(*signer);
  parts.public_key_base64 = rsa_public_base64(read.key);
  return loaded;
}

const std::string& DkimKey::domain() const { return parts_->domain; }
const std::string& DkimKey::selector() const { return parts_->selector; }
DkimAlgorithm DkimKey::algorithm() const { return parts_->algorithm; }

const std::string& DkimKey::public_key_base64() const { return parts_->public_key_base64; }

Result<GeneratedDkimKey> generate_dkim_key(DkimAlgorithm algorithm) {
  return algorithm == DkimAlgorithm::rsa_sha256 ? generate_rsa() : generate_ed25519();
}

std::string dkim_record_text(DkimAlgorithm algorithm, std::string_view public_key_base64) {
  return fmt::format("v=DKIM1; k={}; p={}",
                     algorithm == DkimAlgorithm::rsa_sha256 ? "rsa" : "ed25519", public_key_base64);
}

}  // namespace postern::crypto
