// An authority of one's own; see the header.
#include "crypto/own_authority.hpp"

#include <fmt/chrono.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <set>

#include "crypto/mbedtls_support.hpp"
#include "relay/base/encoding.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/base/text.hpp"

namespace postern::crypto {

namespace {

constexpr std::chrono::days authority_life{3652};  // ten years: importing a root at devices is work
constexpr std::chrono::days certificate_life{397};  // what clients take at most for a server
constexpr std::chrono::days backdated{1};           // a device's clock may be behind ours
constexpr std::size_t name_bytes_max = 64;          // RFC 5280 appendix A.1, ub-common-name
constexpr std::size_t names_max = 16;               // a host has a few names
constexpr std::size_t pem_bytes_max = 8UZ * 1024;   // a certificate of ours has 800 octets
constexpr std::size_t curve_bits = 256;             // P-256
constexpr std::size_t serial_bytes = 16;            // RFC 5280 §4.1.2.2: at most 20, positive
constexpr std::string_view name_prefix = "CN=";
constexpr char subject_of_hosts[] = "CN=relay certificate";  // names stand in subjectAltName only

std::string time_text(WallTime time) {
  return fmt::format("{:%Y%m%d%H%M%S}", std::chrono::floor<std::chrono::seconds>(time));
}

WallTime wall_time(const mbedtls_x509_time& time) {
  return std::chrono::sys_days(std::chrono::year(time.year) / time.mon / time.day) +
         std::chrono::hours(time.hour) + std::chrono::minutes(time.min) +
         std::chrono::seconds(time.sec);
}

// As it stands in subjectAltName: a name as it is, an address as its 4 or 16 octets.
std::string alternative_name(const std::string& name) {
  const auto address = IpAddress::parse(name);
  if (!address) return name;
  return {reinterpret_cast<const char*>(address->octets.data()), address->is_ipv6 ? 16U : 4U};
}

class CertificateWriter {
 public:
  CertificateWriter() { mbedtls_x509write_crt_init(&writer_); }
  ~CertificateWriter() { mbedtls_x509write_crt_free(&writer_); }
  CertificateWriter(const CertificateWriter&) = delete;
  CertificateWriter& operator=(const CertificateWriter&) = delete;

  void common(PrivateKey& subject, PrivateKey& issuer, WallTime from, WallTime to) {
    std::array<unsigned char, serial_bytes> serial{};
    randombytes_buf(serial.data(), serial.size());
    serial[0] = static_cast<unsigned char>((serial[0] & 0x7FU) | 1U);
    mbedtls_x509write_crt_set_version(&writer_, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer_, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer_, &subject.key);
    mbedtls_x509write_crt_set_issuer_key(&writer_, &issuer.key);
    step(mbedtls_x509write_crt_set_serial_raw(&writer_, serial.data(), serial.size()));
    step(mbedtls_x509write_crt_set_validity(&writer_, time_text(from).c_str(),
                                            time_text(to).c_str()));
    step(mbedtls_x509write_crt_set_subject_key_identifier(&writer_));
    step(mbedtls_x509write_crt_set_authority_key_identifier(&writer_));
  }
  void names(const std::string& subject, const std::string& issuer) {
    step(mbedtls_x509write_crt_set_subject_name(&writer_, subject.c_str()));
    step(mbedtls_x509write_crt_set_issuer_name(&writer_, issuer.c_str()));
  }
  void authority() {
    step(mbedtls_x509write_crt_set_basic_constraints(&writer_, 1, 0));
    step(mbedtls_x509write_crt_set_key_usage(
        &writer_, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN));
  }
  void server(const std::vector<std::string>& names) {
    step(mbedtls_x509write_crt_set_basic_constraints(&writer_, 0, -1));
    step(mbedtls_x509write_crt_set_key_usage(&writer_, MBEDTLS_X509_KU_DIGITAL_SIGNATURE));
    mbedtls_asn1_sequence usage{};
    usage.buf.tag = MBEDTLS_ASN1_OID;
    usage.buf.p = reinterpret_cast<unsigned char*>(const_cast<char*>(MBEDTLS_OID_SERVER_AUTH));
    usage.buf.len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH);
    step(mbedtls_x509write_crt_set_ext_key_usage(&writer_, &usage));
    alternative_names(names);
  }
  Result<std::string> pem(std::string_view operation) {
    std::array<unsigned char, pem_bytes_max> text{};
    if (code_ == 0) {
      code_ =
          mbedtls_x509write_crt_pem(&writer_, text.data(), text.size(), mbedtls_random, nullptr);
    }
    if (code_ != 0) return fail(ErrorKind::invalid, std::string(operation), mbedtls_words(code_));
    return std::string(reinterpret_cast<const char*>(text.data()));
  }

 private:
  void step(int code) {
    if (code_ == 0) code_ = code;
  }
  void alternative_names(const std::vector<std::string>& names) {
    std::vector<std::string> values;
    std::deque<mbedtls_x509_san_list> list;
    values.reserve(names.size());  // the list points into it
    for (const std::string& name : names) {
      values.push_back(alternative_name(name));
      mbedtls_x509_san_list entry{};
      entry.node.type =
          IpAddress::parse(name) ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME;
      entry.node.san.unstructured_name.p = reinterpret_cast<unsigned char*>(values.back().data());
      entry.node.san.unstructured_name.len = values.back().size();
      list.push_back(entry);
      if (list.size() > 1) list[list.size() - 2].next = &list.back();
    }
    step(mbedtls_x509write_crt_set_subject_alternative_name(&writer_, &list.front()));
  }

  mbedtls_x509write_cert writer_{};
  int code_ = 0;  // the first that failed
};

Result<Secret> make_key(PrivateKey& key) {
  int code = mbedtls_pk_setup(&key.key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (code == 0) {
    code = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key.key), mbedtls_random,
                               nullptr);
  }
  Secret room = Secret::of_size(pem_bytes_max);
  auto* text = reinterpret_cast<unsigned char*>(room.writable().data());
  if (code == 0) code = mbedtls_pk_write_key_pem(&key.key, text, room.size());
  if (code != 0) return fail(ErrorKind::io, "make a key", mbedtls_words(code));
  return Secret(room.text().substr(0, room.text().find('\0')));
}

Result<> parse_key(PrivateKey& key, const Secret& pem) {
  const Secret terminated = with_terminator(pem);
  const int code = mbedtls_pk_parse_key(
      &key.key, reinterpret_cast<const unsigned char*>(terminated.view().data()), terminated.size(),
      nullptr, 0, mbedtls_random, nullptr);
  if (code != 0) return fail(ErrorKind::invalid, "read a private key", mbedtls_words(code));
  return {};
}

Result<Secret> take_key(PrivateKey& key, const Secret& pem) {
  if (auto read = parse_key(key, pem); !read) return std::unexpected(read.error());
  if (mbedtls_pk_get_type(&key.key) != MBEDTLS_PK_ECKEY ||
      mbedtls_pk_get_bitlen(&key.key) != curve_bits) {
    return fail(ErrorKind::invalid, "read a private key", "it is not on the curve P-256");
  }
  return pem.clone();
}

bool is_key_of_ours(const Secret& pem) {
  PrivateKey key;
  return take_key(key, pem).has_value();
}

Result<> parse_certificate(Certificates& into, std::string_view pem) {
  const std::string text(pem);
  const int code = mbedtls_x509_crt_parse(
      &into.chain, reinterpret_cast<const unsigned char*>(text.c_str()), text.size() + 1);
  if (code != 0) return fail(ErrorKind::invalid, "read a certificate", mbedtls_words(code));
  return {};
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max && name.front() != ' ' &&
         name.back() != ' ' && std::ranges::all_of(name, [](char c) {
           return is_letter(c) || is_digit(c) || c == ' ' || c == '.' || c == '-';
         });
}

bool is_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-';
  });
}

Result<std::string> subject_of(const mbedtls_x509_crt& certificate) {
  std::array<char, 4 * name_bytes_max> text{};
  const int count = mbedtls_x509_dn_gets(text.data(), text.size(), &certificate.subject);
  if (count <= 0) return fail(ErrorKind::invalid, "read an authority's name", mbedtls_words(count));
  return std::string(text.data(), static_cast<std::size_t>(count));
}

bool is_issued_by_itself(const mbedtls_x509_crt& certificate) {
  const auto& subject = certificate.subject_raw;
  const auto& issuer = certificate.issuer_raw;
  return std::equal(subject.p, subject.p + subject.len, issuer.p, issuer.p + issuer.len);
}

std::set<std::string> names_in(const mbedtls_x509_crt& certificate) {
  std::set<std::string> names;
  for (const auto* each = &certificate.subject_alt_names; each != nullptr; each = each->next) {
    if (each->buf.p == nullptr) continue;
    names.emplace(reinterpret_cast<const char*>(each->buf.p), each->buf.len);
  }
  return names;
}

}  // namespace

Result<KeyAndCertificate> make_own_authority(std::string_view name, WallTime now, WallTime from,
                                             const Secret* old_key) {
  const std::string operation = "make an authority";
  if (!is_plain_name(name)) {
    return fail(ErrorKind::invalid, operation,
                "its name needs 1 to 64 letters, digits, spaces, '.' and '-'");
  }
  PrivateKey key;
  auto key_pem = old_key != nullptr ? take_key(key, *old_key) : make_key(key);
  if (!key_pem) return std::unexpected(key_pem.error());
  CertificateWriter writer;
  const std::string subject = std::string(name_prefix) + std::string(name);
  writer.names(subject, subject);
  writer.common(key, key, std::min(from, now - backdated), now - backdated + authority_life);
  writer.authority();
  auto certificate = writer.pem(operation);
  if (!certificate) return std::unexpected(certificate.error());
  return KeyAndCertificate{std::move(*certificate), std::move(*key_pem)};
}

Result<KeyAndCertificate> issue_certificate(const KeyAndCertificate& authority,
                                            const std::vector<std::string>& names, WallTime now,
                                            const Secret* old_key) {
  const std::string operation = "issue a certificate";
  if (names.empty() || names.size() > names_max)
    return fail(ErrorKind::invalid, operation, "it needs 1 to 16 names");
  for (const std::string& name : names) {
    if (!IpAddress::parse(name) && !is_dns_name(name))
      return fail(ErrorKind::invalid, operation, "a name is neither a DNS name nor an IP address");
  }
  Certificates issuer;
  PrivateKey issuer_key, key;
  if (auto read = parse_certificate(issuer, authority.certificate_pem); !read)
    return std::unexpected(read.error());
  if (auto read = parse_key(issuer_key, authority.private_key_pem); !read)
    return std::unexpected(read.error());
  const auto issuer_name = subject_of(issuer.chain);
  if (!issuer_name) return std::unexpected(issuer_name.error());
  auto key_pem =
      old_key != nullptr && is_key_of_ours(*old_key) ? take_key(key, *old_key) : make_key(key);
  if (!key_pem) return std::unexpected(key_pem.error());
  CertificateWriter writer;
  writer.names(subject_of_hosts, *issuer_name);
  writer.common(key, issuer_key, now - backdated,
                std::min(now - backdated + certificate_life, wall_time(issuer.chain.valid_to)));
  writer.server(names);
  auto certificate = writer.pem(operation);
  if (!certificate) return std::unexpected(certificate.error());
  return KeyAndCertificate{std::move(*certificate), std::move(*key_pem)};
}

Result<KeyAndCertificate> renew_own_authority(const KeyAndCertificate& authority, WallTime now) {
  Certificates old;
  if (auto read = parse_certificate(old, authority.certificate_pem); !read)
    return std::unexpected(read.error());
  const auto subject = subject_of(old.chain);
  if (!subject) return std::unexpected(subject.error());
  const WallTime from = wall_time(old.chain.valid_from);
  const bool ours = subject->starts_with(name_prefix) && old.chain.next == nullptr &&
                    is_issued_by_itself(old.chain) &&
                    wall_time(old.chain.valid_to) - from >= authority_life;
  if (!ours) return fail(ErrorKind::invalid, "renew an authority", "it is not one of ours");
  // From when the old one began: a clock that is ahead must not take the authority from devices.
  return make_own_authority(std::string_view(*subject).substr(name_prefix.size()), now, from,
                            &authority.private_key_pem);
}

bool lasts_another_year(const KeyAndCertificate& authority, WallTime now) {
  Certificates root;
  return parse_certificate(root, authority.certificate_pem) &&
         wall_time(root.chain.valid_to) - now > std::chrono::years(1);
}

bool is_still_good(const KeyAndCertificate& issued, const KeyAndCertificate& authority,
                   const std::vector<std::string>& names, WallTime now) {
  Certificates certificate, root;
  PrivateKey key;
  if (!parse_certificate(certificate, issued.certificate_pem) ||
      !parse_certificate(root, authority.certificate_pem) ||
      !parse_key(key, issued.private_key_pem)) {
    return false;
  }
  if (mbedtls_pk_check_pair(&certificate.chain.pk, &key.key, mbedtls_random, nullptr) != 0)
    return false;
  std::uint32_t flags = 0;
  // Its dates are judged below, by the caller's clock.
  constexpr std::uint32_t dates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
  if (mbedtls_x509_crt_verify(&certificate.chain, &root.chain, nullptr, nullptr, &flags, nullptr,
                              nullptr) != 0 &&
      (flags & ~dates) != 0) {
    return false;
  }
  std::set<std::string> wanted;
  for (const std::string& name : names) wanted.insert(alternative_name(name));
  const WallTime begin = wall_time(certificate.chain.valid_from);
  const WallTime end = wall_time(certificate.chain.valid_to);
  return std::ranges::includes(names_in(certificate.chain), wanted) && now >= begin &&
         end - now > certificate_life / 3;
}

Result<std::string> certificate_fingerprint(std::string_view certificate_pem) {
  Certificates certificate;
  if (auto read = parse_certificate(certificate, certificate_pem); !read)
    return std::unexpected(read.error());
  std::array<std::byte, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()), certificate.chain.raw.p,
                     certificate.chain.raw.len);
  std::string text;
  for (const std::byte octet : hash)
    text += fmt::format("{}{:02X}", text.empty() ? "" : ":", static_cast<unsigned>(octet));
  return text;
}

}  // namespace postern::crypto
