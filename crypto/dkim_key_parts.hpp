// What a DkimKey holds; private to the files that load it and sign with it.
#pragma once

#include <string>

#include "crypto/dkim.hpp"
#include "crypto/mbedtls_support.hpp"

namespace postern::crypto {

struct DkimKey::Parts {
  std::string domain;
  std::string selector;
  DkimAlgorithm algorithm = DkimAlgorithm::rsa_sha256;
  // mbedTLS guards its RSA blinding by a mutex of its own, hence signing through a const key is
  // safe.
  mutable PrivateKey rsa;
  Secret ed25519;  // libsodium's 64 octets: seed and public key
};

}  // namespace postern::crypto
