// Signatures in the format of minisign (https://jedisct1.github.io/minisign), and the hash of what
// is too long to hold.
//
// Promise: a signature is good only when it is of the prehashed kind (BLAKE2b-512, Ed25519), names
// the same key, and its trusted comment is signed too. Sharp edge: a good signature says who made
// the octets, not that they are new: the caller compares versions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"

namespace postern::crypto {

// `public_key` and `signature`: the texts of minisign's files.
[[nodiscard]] Result<> verify_minisign(std::string_view public_key, std::string_view signature,
                                       ByteView message);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(ByteView octets);
  [[nodiscard]] std::string finish_hex();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::crypto
