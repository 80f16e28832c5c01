// `postern tls authority` and `postern tls generate`: an authority of one's own and the certificate
// that devices see.
//
// Promise: what is there and good is kept, so that both can be run again and again; private keys
// have mode 0600 in a directory of mode 0700 and are printed nowhere. An authority whose key is
// missing is never replaced, because devices may have imported it; one whose certificate is
// missing gets another with its key only where the name is given that devices know, one of ours
// that ends within a year one with its key and name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "output.hpp"

namespace postern::tools {

struct AuthorityOrder {
  std::optional<std::string> directory;  // left out: tls beside the configuration file
  // What devices show; left out of a new one: "Postern authority".
  std::optional<std::string> label;
  // Seconds since 1970; a new one is valid from then on, or from yesterday when that is earlier.
  std::optional<std::int64_t> from;
};
[[nodiscard]] Outcome<> make_authority(const std::string& configuration_path,
                                       const AuthorityOrder& order);

struct CertificateOrder {
  AuthorityOrder authority;
  std::vector<std::string> names;  // beside the configuration's hostname
};
[[nodiscard]] Outcome<> generate_certificate(const std::string& configuration_path,
                                             const CertificateOrder& order);

}  // namespace postern::tools
