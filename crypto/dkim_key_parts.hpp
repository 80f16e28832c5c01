// What a DkimKey holds; private to the files that load it and sign with it.
#pragma once

#include <optional>
#include <string>

#include "crypto/dkim.hpp"
#include "crypto/rsa_signer.hpp"

namespace postern::crypto {

struct DkimKey::Parts {
  std::string domain;
  std::string selector;
  DkimAlgorithm algorithm = DkimAlgorithm::rsa_sha256;
  std::string public_key_base64;
  std::optional<RsaSigner> rsa;
  Secret ed25519;  // libsodium's 64 octets: seed and public key
};

}  // namespace postern::crypto
