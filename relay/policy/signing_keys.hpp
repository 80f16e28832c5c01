// Which DKIM keys sign mail of a domain.
//
// Promise: those of the domain itself, else those of its nearest parent domain that has any, so
// that the signature is aligned (relaxed alignment, RFC 9989); none when there is none.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "crypto/dkim.hpp"

namespace postern::policy {

// Shared by the snapshots of a configuration: a key is parsed once and lives as long as its users.
using SigningKeys = std::vector<std::shared_ptr<const crypto::DkimKey>>;

[[nodiscard]] SigningKeys signing_keys(const SigningKeys& keys, std::string_view from_domain);

}  // namespace postern::policy
