// Choosing the DKIM keys for a From domain.
#include "relay/policy/signing_keys.hpp"

namespace postern::policy {

SigningKeys signing_keys(const SigningKeys& keys, std::string_view from_domain) {
  SigningKeys matching;
  for (std::string_view domain = from_domain; !domain.empty();) {
    for (const auto& key : keys) {
      if (key->domain() == domain) matching.push_back(key);
    }
    const auto dot = domain.find('.');
    if (!matching.empty() || dot == std::string_view::npos) break;
    domain.remove_prefix(dot + 1);
  }
  return matching;
}

}  // namespace postern::policy
