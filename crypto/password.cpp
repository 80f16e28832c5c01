// Password verifiers; see the header.
//
// The work of check_credential is one Argon2id and one PBKDF2 of 4096 iterations whatever the
// verifier is: without the second, an answer for a SCRAM user would come some milliseconds later
// than one for a user who does not exist. Sharp edge: a SCRAM verifier with more iterations, or an
// argon2id verifier with a higher cost, takes its own time; those are the operator's choice and
// written in the configuration.
#include "crypto/password.hpp"

#include <fmt/format.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "relay/base/assert.hpp"
#include "relay/base/bytes.hpp"
#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"

namespace postern::crypto {

namespace {

constexpr std::string_view argon2id_prefix = "argon2id:";
constexpr std::string_view scram_prefix = "scram-sha-256:";

// A verifier weaker than our own would tell by its speed that the user exists; a dearer one could
// hang the relay: 64 MiB and 10 passes are about a second on a small appliance.
constexpr unsigned argon2id_memory_kib_min = argon2id_memory_bytes / 1024;
constexpr unsigned argon2id_memory_kib_max = 64 * 1024;
constexpr unsigned argon2id_passes_max = 10;
// What libsodium's strings hold. Its crypto_pwhash takes no other salt, and its
// crypto_pwhash_str_verify, which would, says "wrong" also when it had no memory to look.
constexpr std::size_t argon2id_hash_octets = 32;
// RFC 7677 §4: at least 4096; more than 100,000 would let one login hold a core for a tenth of a
// second.
constexpr unsigned scram_iterations_min = 4096;
constexpr unsigned scram_iterations_max = 100'000;
constexpr std::size_t scram_salt_octets = 16;
constexpr std::size_t scram_salt_octets_min = 8;
constexpr std::size_t scram_salt_octets_max = 64;

using Sha256 = std::array<unsigned char, crypto_hash_sha256_BYTES>;

const unsigned char* octets(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// An empty Secret has no memory, and libsodium's functions may not be given a null pointer.
const char* characters(const Secret& password) {
  return password.empty() ? "" : password.text().data();
}

std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::invalid, "read a password verifier",
              std::move(detail) + "; make a new one with the postern command");
}

// Splits at '$'; nothing unless there are exactly `Count` parts.
template <std::size_t Count>
std::optional<std::array<std::string_view, Count>> split(std::string_view text) {
  std::array<std::string_view, Count> parts;
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t end = text.find('$');
    if ((end == std::string_view::npos) != (i + 1 == Count)) return std::nullopt;
    parts[i] = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

// "name=number"
std::optional<unsigned> cost(std::string_view text, std::string_view name) {
  if (!text.starts_with(name)) return std::nullopt;
  return parse_decimal<unsigned>(text.substr(name.size()));
}

template <std::size_t Octets>
bool decode_unpadded_base64(std::string_view text, std::array<unsigned char, Octets>& into) {
  std::size_t length = 0;
  const char* end = nullptr;
  return sodium_base642bin(into.data(), into.size(), text.data(), text.size(), nullptr, &length,
                           &end, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
         length == Octets && end == text.data() + text.size();
}

// The default is one that no password is checked against for its answer, with the costs of ours:
// what unknown users cost.
struct Argon2idVerifier {
  std::size_t memory_bytes = argon2id_memory_bytes;
  unsigned passes = argon2id_passes;
  std::array<unsigned char, crypto_pwhash_SALTBYTES> salt{};
  std::array<unsigned char, argon2id_hash_octets> hash{};
};

// `text` is "$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>" (RFC 9106 has no text form; this is the
// one that libsodium and the reference code write).
Result<Argon2idVerifier> parse_argon2id(std::string_view text) {
  const auto parts = split<6>(text);
  if (!parts || !(*parts)[0].empty() || (*parts)[1] != "argon2id" || (*parts)[2] != "v=19") {
    return refuse("it is no argon2id text of version 19 ($argon2id$v=19$m=…,t=…,p=1$salt$hash)");
  }
  const std::string_view costs = (*parts)[3];
  const std::size_t first = costs.find(',');
  const std::size_t second = first == std::string_view::npos ? first : costs.find(',', first + 1);
  if (second == std::string_view::npos) return refuse("its costs are not m=…,t=…,p=…");
  const auto memory_kib = cost(costs.substr(0, first), "m=");
  const auto passes = cost(costs.substr(first + 1, second - first - 1), "t=");
  const auto lanes = cost(costs.substr(second + 1), "p=");
  if (!memory_kib || !passes || !lanes) return refuse("its costs are not m=…,t=…,p=…");
  if (*memory_kib < argon2id_memory_kib_min || *memory_kib > argon2id_memory_kib_max) {
    return refuse(fmt::format("its memory m={} is outside {} to {} KiB", *memory_kib,
                              argon2id_memory_kib_min, argon2id_memory_kib_max));
  }
  if (*passes < argon2id_passes || *passes > argon2id_passes_max) {
    return refuse(fmt::format("its passes t={} are outside {} to {}", *passes, argon2id_passes,
                              argon2id_passes_max));
  }
  if (*lanes != 1) return refuse(fmt::format("its parallelism p={} is not 1", *lanes));
  Argon2idVerifier verifier{.memory_bytes = std::size_t{*memory_kib} * 1024, .passes = *passes};
  if (!decode_unpadded_base64((*parts)[4], verifier.salt) ||
      !decode_unpadded_base64((*parts)[5], verifier.hash)) {
    return refuse("its salt is not 16 octets, or its hash not 32, of base64 without padding");
  }
  return verifier;
}

struct ScramVerifier {
  unsigned iterations = scram_iterations_min;
  Bytes salt;
  Bytes stored_key;
};

Result<ScramVerifier> parse_scram(std::string_view text) {
  const auto parts = split<4>(text);
  if (!parts) return refuse("it is not scram-sha-256:iterations$salt$stored key$server key");
  const auto iterations = parse_decimal<unsigned>((*parts)[0]);
  if (!iterations || *iterations < scram_iterations_min || *iterations > scram_iterations_max) {
    return refuse(fmt::format("its iterations are not a number from {} to {} (RFC 7677 §4)",
                              scram_iterations_min, scram_iterations_max));
  }
  auto salt = decode_base64((*parts)[1]);
  auto stored_key = decode_base64((*parts)[2]);
  const auto server_key = decode_base64((*parts)[3]);
  if (!salt || salt->size() < scram_salt_octets_min || salt->size() > scram_salt_octets_max) {
    return refuse("its salt is no base64 of 8 to 64 octets");
  }
  if (!stored_key || stored_key->size() != sizeof(Sha256) || !server_key ||
      server_key->size() != sizeof(Sha256)) {
    return refuse("its stored key or server key is no base64 of 32 octets");
  }
  return ScramVerifier{*iterations, std::move(*salt), std::move(*stored_key)};
}

Sha256 hmac(const Sha256& key, std::string_view text) {
  Sha256 mac{};
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), key.size());
  crypto_auth_hmacsha256_update(&state, octets(as_bytes(text)), text.size());
  crypto_auth_hmacsha256_final(&state, mac.data());
  sodium_memzero(&state, sizeof state);
  return mac;
}

// Hi() of RFC 5802 §2.2, which is PBKDF2 with one block.
Sha256 salted_password(const Secret& password, ByteView salt, unsigned iterations) {
  Sha256 salted{};
  const int code = mbedtls_pkcs5_pbkdf2_hmac_ext(
      MBEDTLS_MD_SHA256, reinterpret_cast<const unsigned char*>(characters(password)),
      password.size(), octets(salt), salt.size(), iterations,
      static_cast<std::uint32_t>(salted.size()), salted.data());
  POSTERN_ASSERT(code == 0);
  return salted;
}

// RFC 5802 §3: StoredKey := H(HMAC(SaltedPassword, "Client Key")).
Sha256 stored_key_of(const Sha256& salted) {
  Sha256 client_key = hmac(salted, "Client Key");
  Sha256 stored{};
  crypto_hash_sha256(stored.data(), client_key.data(), client_key.size());
  sodium_memzero(client_key.data(), client_key.size());
  return stored;
}

// Nothing when there is no memory for it. The text form of RFC 9106's inputs has no secret and no
// associated data, and its parallelism is 1: that is what crypto_pwhash computes.
std::optional<bool> fits_argon2id(const Argon2idVerifier& verifier, const Secret& password) {
  std::array<unsigned char, argon2id_hash_octets> hash{};
  if (crypto_pwhash(hash.data(), hash.size(), characters(password), password.size(),
                    verifier.salt.data(), verifier.passes, verifier.memory_bytes,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return std::nullopt;
  }
  const bool fits = sodium_memcmp(hash.data(), verifier.hash.data(), hash.size()) == 0;
  sodium_memzero(hash.data(), hash.size());
  return fits;
}

}  // namespace

Result<PasswordVerifier> PasswordVerifier::parse(std::string_view text) {
  PasswordVerifier verifier;
  if (text.starts_with(argon2id_prefix)) {
    if (auto good = parse_argon2id(text.substr(argon2id_prefix.size())); !good) {
      return std::unexpected(good.error());
    }
  } else if (text.starts_with(scram_prefix)) {
    if (auto good = parse_scram(text.substr(scram_prefix.size())); !good) {
      return std::unexpected(good.error());
    }
    verifier.scram_ = true;
  } else {
    return refuse("it begins neither with argon2id: nor with scram-sha-256:");
  }
  verifier.text_ = text;
  return verifier;
}

Result<PasswordVerifier> PasswordVerifier::make_argon2id(const Secret& password) {
  std::array<char, crypto_pwhash_STRBYTES> text{};
  if (crypto_pwhash_str_alg(text.data(), characters(password), password.size(), argon2id_passes,
                            argon2id_memory_bytes, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(ErrorKind::no_space, "hash a password", "there are no 19 MiB of free memory");
  }
  PasswordVerifier verifier;
  verifier.text_ = std::string(argon2id_prefix) + text.data();
  return verifier;
}

Result<PasswordVerifier> PasswordVerifier::make_scram_sha_256(const Secret& password,
                                                              unsigned iterations) {
  if (iterations < scram_iterations_min || iterations > scram_iterations_max) {
    return fail(ErrorKind::invalid, "make a SCRAM verifier",
                fmt::format("{} iterations are outside {} to {}", iterations, scram_iterations_min,
                            scram_iterations_max));
  }
  Bytes salt(scram_salt_octets);
  randombytes_buf(salt.data(), salt.size());
  Sha256 salted = salted_password(password, salt, iterations);
  const Sha256 stored = stored_key_of(salted);
  const Sha256 server = hmac(salted, "Server Key");
  sodium_memzero(salted.data(), salted.size());
  PasswordVerifier verifier;
  verifier.scram_ = true;
  verifier.text_ = fmt::format("{}{}${}${}${}", scram_prefix, iterations, encode_base64(salt),
                               encode_base64(std::as_bytes(std::span(stored))),
                               encode_base64(std::as_bytes(std::span(server))));
  return verifier;
}

CredentialCheck check_credential(const PasswordVerifier* verifier, const Secret& password) {
  const bool scram = verifier != nullptr && verifier->scram_;
  const bool argon2id = verifier != nullptr && !scram;
  // Both computations always run, on dummies where the verifier is of the other kind or there is
  // none.
  Argon2idVerifier hashed;
  if (argon2id) {
    auto parsed = parse_argon2id(std::string_view(verifier->text_).substr(argon2id_prefix.size()));
    POSTERN_ASSERT(parsed.has_value());
    hashed = *parsed;
  }
  const std::optional<bool> argon2id_fits = fits_argon2id(hashed, password);

  ScramVerifier expected{scram_iterations_min, Bytes(scram_salt_octets), Bytes(sizeof(Sha256))};
  if (scram) {
    auto parsed = parse_scram(std::string_view(verifier->text_).substr(scram_prefix.size()));
    POSTERN_ASSERT(parsed.has_value());
    expected = std::move(*parsed);
  }
  Sha256 salted = salted_password(password, expected.salt, expected.iterations);
  const Sha256 stored = stored_key_of(salted);
  sodium_memzero(salted.data(), salted.size());
  const bool scram_fits =
      sodium_memcmp(stored.data(), expected.stored_key.data(), stored.size()) == 0;
  // Also for SCRAM and for nobody: the answer must not tell which kind of user it is.
  if (!argon2id_fits) return CredentialCheck::unchecked;
  return (argon2id && *argon2id_fits) || (scram && scram_fits) ? CredentialCheck::right
                                                               : CredentialCheck::wrong;
}

}  // namespace postern::crypto
