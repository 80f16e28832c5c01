// Own rules for certificates; see the header.
#include "crypto/tls_certificate_rules.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <mbedtls/asn1.h>

#include <algorithm>

#include "crypto/tls_parts.hpp"
#include "relay/base/text.hpp"

namespace postern::crypto {

namespace {

constexpr int san_dns_name = 2;  // RFC 5280 §4.2.1.6, the context tags of GeneralName
constexpr int san_ip_address = 7;
// A certificate may hold hundreds of names; the operator needs to see a few.
constexpr std::size_t names_shown_max = 8;
constexpr std::size_t name_shown_bytes_max = 100;

std::string_view text_of(const mbedtls_x509_buf& buffer) {
  return {reinterpret_cast<const char*>(buffer.p), buffer.len};
}

// Foreign text for an operator's eyes: printable ASCII and not too long.
std::string shown(std::string_view text) {
  std::string safe(text.substr(0, name_shown_bytes_max));
  std::ranges::replace_if(safe, [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > name_shown_bytes_max) safe += "…";
  return safe;
}

std::string distinguished_name(const mbedtls_x509_name& name) {
  std::array<char, 512> text{};
  if (mbedtls_x509_dn_gets(text.data(), text.size(), &name) <= 0) return "?";
  return shown(text.data());
}

std::string date(const mbedtls_x509_time& time) {
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", time.year, time.mon, time.day, time.hour,
                     time.min);
}

template <class Visit>
void each_name(const mbedtls_x509_crt& certificate, Visit visit) {
  for (const auto* name = &certificate.subject_alt_names; name != nullptr; name = name->next) {
    if (name->buf.p == nullptr) continue;
    if ((name->buf.tag & MBEDTLS_ASN1_TAG_CLASS_MASK) != MBEDTLS_ASN1_CONTEXT_SPECIFIC) continue;
    visit(name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK, text_of(name->buf));
  }
}

std::string names_of(const mbedtls_x509_crt& leaf) {
  std::string names;
  std::size_t count = 0;
  each_name(leaf, [&](int type, std::string_view value) {
    if (type != san_dns_name && type != san_ip_address) return;
    if (++count > names_shown_max) return;
    if (!names.empty()) names += ", ";
    std::array<char, INET6_ADDRSTRLEN> address{};
    if (type == san_dns_name) {
      names += shown(value);
    } else if ((value.size() == 4 || value.size() == 16) &&
               inet_ntop(value.size() == 4 ? AF_INET : AF_INET6, value.data(), address.data(),
                         address.size()) != nullptr) {
      names += address.data();
    }
  });
  if (count > names_shown_max) names += fmt::format(" and {} more", count - names_shown_max);
  return names;
}

// Reads the extensions of a certificate; false where they are no DER.
template <class Visit>
bool each_extension(const mbedtls_x509_crt& certificate, Visit visit) {
  unsigned char* at = certificate.v3_ext.p;
  if (at == nullptr) return true;
  const unsigned char* const end = at + certificate.v3_ext.len;
  std::size_t length = 0;
  constexpr int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0 || at + length != end) return false;
  while (at < end) {
    if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0) return false;
    const unsigned char* const extension_end = at + length;
    if (mbedtls_asn1_get_tag(&at, extension_end, &length, MBEDTLS_ASN1_OID) != 0) return false;
    const std::string_view oid(reinterpret_cast<const char*>(at), length);
    at += length;
    int critical = 0;
    const int code = mbedtls_asn1_get_bool(&at, extension_end, &critical);
    if (code != 0 && code != MBEDTLS_ERR_ASN1_UNEXPECTED_TAG) return false;
    if (mbedtls_asn1_get_tag(&at, extension_end, &length, MBEDTLS_ASN1_OCTET_STRING) != 0 ||
        at + length != extension_end) {
      return false;
    }
    visit(oid, std::string_view(reinterpret_cast<const char*>(at), length));
    at += length;
  }
  return true;
}

}  // namespace

bool says_ca_in_der(const mbedtls_x509_crt& certificate) {
  constexpr std::string_view basic_constraints("\x55\x1d\x13", 3);  // 2.5.29.19
  // SEQUENCE { BOOLEAN TRUE } or SEQUENCE { BOOLEAN TRUE, INTEGER 0..127 }; these are all its DER
  // forms, as no real chain is longer.
  constexpr std::string_view ca_true("\x30\x03\x01\x01\xff", 5);
  constexpr std::string_view ca_true_and_length("\x30\x06\x01\x01\xff\x02\x01", 7);
  std::size_t seen = 0;
  bool ca = false;
  const bool readable =
      each_extension(certificate, [&](std::string_view oid, std::string_view value) {
        if (oid != basic_constraints) return;
        ++seen;
        ca = value == ca_true || (value.starts_with(ca_true_and_length) &&
                                  value.size() == ca_true_and_length.size() + 1 &&
                                  static_cast<unsigned char>(value.back()) < 0x80);
      });
  return readable && seen == 1 && ca;
}

std::uint32_t profile_problems(const mbedtls_x509_crt& certificate) {
  const mbedtls_x509_crt_profile& profile = certificate_profile();
  std::uint32_t problems = 0;
  const auto allowed = [](std::uint32_t set, int id) {
    return id > 0 && id <= 32 && (set & MBEDTLS_X509_ID_FLAG(id)) != 0;
  };
  if (!allowed(profile.allowed_mds, certificate.MBEDTLS_PRIVATE(sig_md))) {
    problems |= MBEDTLS_X509_BADCERT_BAD_MD;
  }
  if (!allowed(profile.allowed_pks, certificate.MBEDTLS_PRIVATE(sig_pk))) {
    problems |= MBEDTLS_X509_BADCERT_BAD_PK;
  }
  const mbedtls_pk_type_t type = mbedtls_pk_get_type(&certificate.pk);
  bool strong = false;
  if (type == MBEDTLS_PK_RSA || type == MBEDTLS_PK_RSASSA_PSS) {
    strong = mbedtls_pk_get_bitlen(&certificate.pk) >= profile.rsa_min_bitlen;
  } else if (type == MBEDTLS_PK_ECKEY || type == MBEDTLS_PK_ECDSA) {
    strong = allowed(profile.allowed_curves,
                     mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(certificate.pk)));
  }
  if (!strong) problems |= MBEDTLS_X509_BADCERT_BAD_KEY;
  return problems;
}

bool dns_name_matches(std::string_view pattern, std::string_view host) {
  if (!pattern.starts_with("*.")) return !pattern.empty() && equals_ignoring_case(pattern, host);
  const std::string_view parent = pattern.substr(2);
  const std::size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && parent.contains('.') &&
         !parent.contains('*') && equals_ignoring_case(parent, host.substr(dot + 1));
}

CertificateRules::CertificateRules(const mbedtls_x509_crt& roots, std::string_view host,
                                   WallTime now)
    : roots_(roots), host_(host), now_(now) {
  if (inet_pton(AF_INET, host_.c_str(), address_.data()) == 1) {
    address_bytes_ = 4;
  } else if (inet_pton(AF_INET6, host_.c_str(), address_.data()) == 1) {
    address_bytes_ = 16;
  }
}

bool CertificateRules::is_root(const mbedtls_x509_crt& certificate) const {
  for (const auto* root = &roots_; root != nullptr; root = root->next) {
    if (root->raw.p != nullptr && text_of(root->raw) == text_of(certificate.raw)) return true;
  }
  return false;
}

// RFC 9525 §6: subjectAltName only; an address is compared with iPAddress names, never with
// dNSNames.
bool CertificateRules::names_host(const mbedtls_x509_crt& leaf) const {
  bool found = false;
  const std::string_view address = as_text(ByteView(address_).first(address_bytes_));
  each_name(leaf, [&](int type, std::string_view value) {
    if (host_is_address() ? type == san_ip_address && value == address
                          : type == san_dns_name && dns_name_matches(value, host_)) {
      found = true;
    }
  });
  return found;
}

int CertificateRules::verify(void* rules, mbedtls_x509_crt* certificate, int depth,
                             std::uint32_t* flags) {
  static_cast<CertificateRules*>(rules)->check(*certificate, depth, *flags);
  return 0;
}

void CertificateRules::check(const mbedtls_x509_crt& certificate, int depth, std::uint32_t& flags) {
  if (now_ < clock_plausible_from) {
    flags |= MBEDTLS_X509_BADCERT_OTHER;
    problem_ = fmt::format(
        "this device's clock says {}, which is long past, so no certificate can be judged; set the "
        "clock",
        format_timestamp(now_));
  }
  // The root is trusted because the operator says so, whatever it is signed with.
  if (!is_root(certificate)) {
    flags |= profile_problems(certificate);
    if (depth > 0 && !says_ca_in_der(certificate)) flags |= MBEDTLS_X509_BADCERT_OTHER;
  }
  if (depth == 0 && !names_host(certificate)) flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
  // The first one told is the one nearest to the root: what is below depends on it.
  if (flags != 0 && problem_.empty()) problem_ = describe(certificate, depth, flags);
  if (depth == 0) leaf_accepted_ = flags == 0 && problem_.empty();
}

std::string CertificateRules::describe(const mbedtls_x509_crt& certificate, int depth,
                                       std::uint32_t flags) const {
  const std::string which =
      depth == 0 ? fmt::format("the certificate of {}", shown(host_))
                 : fmt::format("the certificate \"{}\" in the chain of {}",
                               distinguished_name(certificate.subject), shown(host_));
  if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
    return fmt::format("{} expired at {}; its operator has to renew it (or this clock is wrong)",
                       which, date(certificate.valid_to));
  }
  if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
    return fmt::format("{} is valid only from {}; is the clock of this device right?", which,
                       date(certificate.valid_from));
  }
  if ((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0) {
    const std::string names = names_of(certificate);
    return names.empty()
               ? which + " names no host in subjectAltName (RFC 9525; a common name does not count)"
               : fmt::format("{} is for other names: {}", which, names);
  }
  if ((flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
                MBEDTLS_X509_BADCERT_BAD_KEY)) != 0) {
    return which +
           " is signed with an outdated hash or has too weak a key (SHA-256, and RSA with 2048 "
           "bits "
           "or an EC key are the least)";
  }
  if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
    return fmt::format(
        "{} is issued by \"{}\", which is not among the trusted roots; where that is your own "
        "authority, "
        "add its root certificate to the configuration",
        which, distinguished_name(certificate.issuer));
  }
  if (depth > 0 && (flags & MBEDTLS_X509_BADCERT_OTHER) != 0) {
    return which + " may not issue others (its basicConstraints are missing or malformed)";
  }
  return fmt::format("{} is not fit for a server (its key usage forbids it; flags 0x{:x})", which,
                     flags);
}

}  // namespace postern::crypto
