// Password verifiers: what the configuration keeps instead of a password.
//
//   argon2id:$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>       libsodium's string (RFC 9106)
//   scram-sha-256:4096$<salt>$<stored key>$<server key>          base64 parts (RFC 5802, RFC 7677)
//
// Promise: check_credential costs one Argon2id at 19 MiB and two passes whatever happens: known
// user or not, argon2id or SCRAM, right or wrong; the answer's time tells nothing. Costs written in
// a verifier are bounded at parsing, so that a configuration cannot hang the relay. Without free
// memory for the hash the answer is `unchecked`, whoever the user is, and never "wrong". Sharp
// edge: 20–60 ms and 19 MiB each: never on a loop thread, at most two at once (the driver's
// matter).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

inline constexpr std::size_t argon2id_memory_bytes = std::size_t{19456} * 1024;  // OWASP's 19 MiB
inline constexpr unsigned argon2id_passes = 2;

enum class CredentialCheck { right, wrong, unchecked };

class PasswordVerifier {
 public:
  [[nodiscard]] static Result<PasswordVerifier> parse(std::string_view text);
  [[nodiscard]] static Result<PasswordVerifier> make_argon2id(const Secret& password);
  [[nodiscard]] static Result<PasswordVerifier> make_scram_sha_256(const Secret& password,
                                                                   unsigned iterations = 4096);
  [[nodiscard]] const std::string& text() const {
    return text_;
  }  // for the configuration file; no secret in clear

 private:
  friend CredentialCheck check_credential(const PasswordVerifier* verifier, const Secret& password);
  std::string text_;
  bool scram_ = false;
};

// `verifier` is null for an unknown user; the work done is the same.
[[nodiscard]] CredentialCheck check_credential(const PasswordVerifier* verifier,
                                               const Secret& password);

// Remembers that a credential was right, so that a device that connects every minute costs one hash
// of microseconds. Promise: keeps only a keyed hash (BLAKE2b, key made at start and never stored)
// over user, verifier text and password: a changed password or a removed user never matches.
// Bounded by entries_max; the oldest goes first; entries die after an hour. One thread.
class CredentialCache {
 public:
  explicit CredentialCache(std::size_t entries_max = 1024);
  ~CredentialCache();
  [[nodiscard]] bool matches(std::string_view user, const PasswordVerifier& verifier,
                             const Secret& password, std::int64_t now_ms) const;
  void remember(std::string_view user, const PasswordVerifier& verifier, const Secret& password,
                std::int64_t now_ms);
  void clear();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::crypto
