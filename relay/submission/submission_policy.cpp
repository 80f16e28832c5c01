// Choosing the DKIM keys for a From domain.
#include "relay/submission/submission_policy.hpp"

namespace postern::submission {

std::vector<std::shared_ptr<const crypto::DkimKey>> signing_keys(
    const std::vector<std::shared_ptr<const crypto::DkimKey>>& keys, std::string_view from_domain) {
  std::vector<std::shared_ptr<const crypto::DkimKey>> matching;
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

}  // namespace postern::submission
