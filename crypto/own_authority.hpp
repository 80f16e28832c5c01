// A small certification authority of one's own, for devices to import, and what it issues.
//
// Promise: keys are P-256, made from the operating system's random numbers; the authority's root
// lasts ten years and may issue end entities only (RFC 5280 §4.2.1.9, pathLenConstraint 0); a
// certificate names its hosts in subjectAltName (RFC 9525) and lasts 397 days, because clients
// refuse longer ones. Sharp edge: whoever has the authority's key can be any server to a device
// that imported the root: the key belongs to root alone and never leaves the machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

struct KeyAndCertificate {
  std::string certificate_pem;
  Secret private_key_pem;
};

// `name`: what a device's list of authorities shows; 1 to 64 letters, digits, spaces, '.' and '-'.
// `from`: valid from then on, where that is earlier than a day before `now`: a clock that is ahead
// must not make a root of the future. `key`: of one whose certificate is lost; with its key and its
// name the new one stands for what the old one issued, and the old one for what the new one issues.
[[nodiscard]] Result<KeyAndCertificate> make_own_authority(std::string_view name, WallTime now,
                                                           WallTime from = WallTime::max(),
                                                           const Secret* key = nullptr);

// The same authority once more, for another ten years: its key and its name. Refused where it is
// none that was made here.
[[nodiscard]] Result<KeyAndCertificate> renew_own_authority(const KeyAndCertificate& authority,
                                                            WallTime now);

// Whether the root lasts for another year.
[[nodiscard]] bool lasts_another_year(const KeyAndCertificate& authority, WallTime now);

// `names`: DNS names and IP addresses, at least one. `key`: of the certificate before; a new one is
// made where that is none or cannot be read.
[[nodiscard]] Result<KeyAndCertificate> issue_certificate(const KeyAndCertificate& authority,
                                                          const std::vector<std::string>& names,
                                                          WallTime now,
                                                          const Secret* key = nullptr);

// Whether that certificate and key can serve these names for a good while: they belong together,
// the authority issued it, it has these names, and more than a third of its life is left.
[[nodiscard]] bool is_still_good(const KeyAndCertificate& issued,
                                 const KeyAndCertificate& authority,
                                 const std::vector<std::string>& names, WallTime now);

// SHA-256 over the first certificate, as devices and openssl show it: "3F:0A:…".
[[nodiscard]] Result<std::string> certificate_fingerprint(std::string_view certificate_pem);

}  // namespace postern::crypto
