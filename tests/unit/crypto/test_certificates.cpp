// Certificates for tests; see the header.
#include "tests/unit/crypto/test_certificates.hpp"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>
#include <sodium.h>

#include <array>
#include <deque>

#include "relay/base/assert.hpp"

namespace postern::testing {

namespace {

int random_octets(void* /*unused*/, unsigned char* out, std::size_t size) {
  randombytes_buf(out, size);
  return 0;
}

struct KeyPair {
  KeyPair() { mbedtls_pk_init(&key); }
  ~KeyPair() { mbedtls_pk_free(&key); }
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  mbedtls_pk_context key;

  void make(TestKey kind) {
    int code = 0;
    if (kind == TestKey::p256) {
      code = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
      POSTERN_ASSERT(code == 0);
      code =
          mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key), random_octets, nullptr);
    } else {
      code = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
      POSTERN_ASSERT(code == 0);
      code = mbedtls_rsa_gen_key(mbedtls_pk_rsa(key), random_octets, nullptr,
                                 kind == TestKey::rsa_1024 ? 1024 : 2048, 65'537);
    }
    POSTERN_ASSERT(code == 0);
  }
  [[nodiscard]] Secret pem() {
    std::array<unsigned char, 4096> text{};
    POSTERN_ASSERT(mbedtls_pk_write_key_pem(&key, text.data(), text.size()) == 0);
    return Secret(std::string_view(reinterpret_cast<const char*>(text.data())));
  }
};

// One certificate being written.
class Writer {
 public:
  Writer() { mbedtls_x509write_crt_init(&writer_); }
  ~Writer() { mbedtls_x509write_crt_free(&writer_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void names(const std::string& subject, const std::string& issuer) {
    POSTERN_ASSERT(mbedtls_x509write_crt_set_subject_name(&writer_, ("CN=" + subject).c_str()) ==
                   0);
    POSTERN_ASSERT(mbedtls_x509write_crt_set_issuer_name(&writer_, ("CN=" + issuer).c_str()) == 0);
  }
  void keys(KeyPair& subject, KeyPair& issuer, TestHash hash) {
    mbedtls_x509write_crt_set_subject_key(&writer_, &subject.key);
    mbedtls_x509write_crt_set_issuer_key(&writer_, &issuer.key);
    mbedtls_x509write_crt_set_md_alg(&writer_,
                                     hash == TestHash::sha1 ? MBEDTLS_MD_SHA1 : MBEDTLS_MD_SHA256);
  }
  void validity(const std::string& from, const std::string& to) {
    POSTERN_ASSERT(mbedtls_x509write_crt_set_validity(&writer_, from.c_str(), to.c_str()) == 0);
  }
  void authority() {
    POSTERN_ASSERT(mbedtls_x509write_crt_set_basic_constraints(&writer_, 1, -1) == 0);
    POSTERN_ASSERT(mbedtls_x509write_crt_set_key_usage(
                       &writer_, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN) == 0);
  }
  void constraints(const std::string& der) {
    POSTERN_ASSERT(mbedtls_x509write_crt_set_extension(
                       &writer_, MBEDTLS_OID_BASIC_CONSTRAINTS,
                       MBEDTLS_OID_SIZE(MBEDTLS_OID_BASIC_CONSTRAINTS), 0,
                       reinterpret_cast<const unsigned char*>(der.data()), der.size()) == 0);
  }
  void alternative_names(const TestCertificateOptions& options, const std::string& host) {
    std::vector<std::string> dns_names = options.dns_names;
    if (dns_names.empty() && options.address_octets.empty()) dns_names.push_back(host);
    std::deque<mbedtls_x509_san_list> list;
    const auto add = [&](int type, const std::string& value) {
      mbedtls_x509_san_list entry{};
      entry.node.type = type;
      entry.node.san.unstructured_name.p =
          const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(value.data()));
      entry.node.san.unstructured_name.len = value.size();
      list.push_back(entry);
      if (list.size() > 1) list[list.size() - 2].next = &list.back();
    };
    for (const std::string& name : dns_names) add(MBEDTLS_X509_SAN_DNS_NAME, name);
    for (const std::string& octets : options.address_octets)
      add(MBEDTLS_X509_SAN_IP_ADDRESS, octets);
    POSTERN_ASSERT(mbedtls_x509write_crt_set_subject_alternative_name(&writer_, &list.front()) ==
                   0);
  }
  [[nodiscard]] std::string pem() {
    std::array<unsigned char, 8> serial{};
    randombytes_buf(serial.data(), serial.size());
    serial[0] = static_cast<unsigned char>((serial[0] & 0x7F) | 1);
    POSTERN_ASSERT(mbedtls_x509write_crt_set_serial_raw(&writer_, serial.data(), serial.size()) ==
                   0);
    mbedtls_x509write_crt_set_version(&writer_, MBEDTLS_X509_CRT_VERSION_3);
    std::array<unsigned char, 8192> text{};
    POSTERN_ASSERT(
        mbedtls_x509write_crt_pem(&writer_, text.data(), text.size(), random_octets, nullptr) == 0);
    return reinterpret_cast<const char*>(text.data());
  }

 private:
  mbedtls_x509write_cert writer_;
};

}  // namespace

struct TestAuthority::Parts {
  std::string name;
  std::string root_pem;
  std::string chain_pem;  // what is sent after a leaf
  mutable KeyPair key;
};

TestAuthority::TestAuthority(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TestAuthority::~TestAuthority() = default;
TestAuthority::TestAuthority(TestAuthority&&) noexcept = default;
TestAuthority& TestAuthority::operator=(TestAuthority&&) noexcept = default;

TestAuthority::TestAuthority(std::string name, TestHash hash) : parts_(std::make_unique<Parts>()) {
  parts_->name = std::move(name);
  parts_->key.make(TestKey::p256);
  Writer writer;
  writer.names(parts_->name, parts_->name);
  writer.keys(parts_->key, parts_->key, hash);
  writer.validity("20200101000000", "20991231235959");
  writer.authority();
  parts_->root_pem = writer.pem();
}

const std::string& TestAuthority::root_pem() const { return parts_->root_pem; }

TestCertificate TestAuthority::issue(const std::string& host,
                                     const TestCertificateOptions& options) const {
  KeyPair key;
  key.make(options.key);
  Writer writer;
  writer.names(host, parts_->name);
  writer.keys(key, parts_->key, options.hash);
  writer.validity(options.not_before, options.not_after);
  if (!options.common_name_only) writer.alternative_names(options, host);
  return {writer.pem() + parts_->chain_pem, key.pem()};
}

TestAuthority TestAuthority::make_intermediate(std::string name, Constraint constraint,
                                               TestHash hash) const {
  auto parts = std::make_unique<Parts>();
  parts->name = std::move(name);
  parts->root_pem = parts_->root_pem;
  parts->key.make(TestKey::p256);
  Writer writer;
  writer.names(parts->name, parts_->name);
  writer.keys(parts->key, parts_->key, hash);
  writer.validity("20200101000000", "20991231235959");
  switch (constraint) {
    case Constraint::ca:
      writer.authority();
      break;
    case Constraint::not_ca:
      writer.constraints(std::string("\x30\x00", 2));
      break;
    case Constraint::missing:
      break;
    // BOOLEAN TRUE must be 0xFF in DER (X.690 §11.1).
    case Constraint::malformed:
      writer.constraints("\x30\x03\x01\x01\x01");
      break;
  }
  parts->chain_pem = writer.pem() + parts_->chain_pem;
  return TestAuthority(std::move(parts));
}

}  // namespace postern::testing
