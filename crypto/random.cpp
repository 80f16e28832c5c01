// Random octets; see the header.
#include "crypto/random.hpp"

#include <openssl/crypto.h>
#include <psa/crypto.h>
#include <sodium.h>

#include <string_view>

#include "relay/base/encoding.hpp"

namespace postern::crypto {

namespace {
// Letters and digits without the look-alikes 0 O o 1 l I: what a person types at a printer's panel.
constexpr std::string_view password_alphabet =
    "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz";
static_assert(password_alphabet.size() == 56);
constexpr std::size_t device_password_characters = 16;
}  // namespace

Result<> initialise() {
  if (sodium_init() < 0) {
    return fail(ErrorKind::io, "start libsodium",
                "the operating system gives no random numbers; is /dev/urandom there?");
  }
  // No configuration file of the machine changes what libcrypto does; and nothing of it is torn
  // down at exit under a thread that still works.
  if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr) != 1) {
    return fail(ErrorKind::io, "start libcrypto", "it does not start; is its package whole?");
  }
  if (const psa_status_t status = psa_crypto_init(); status != PSA_SUCCESS) {
    return fail(ErrorKind::io, "start mbedTLS",
                "its cryptography did not start, status " + std::to_string(status));
  }
  return {};
}

void fill_random(std::span<std::byte> octets) {
  if (!octets.empty()) randombytes_buf(octets.data(), octets.size());
}

std::uint32_t random_number() { return randombytes_random(); }

std::string random_hex(std::size_t octets) {
  Bytes bytes(octets);
  fill_random(bytes);
  return encode_hex(bytes);
}

Secret make_device_password() {
  Secret password = Secret::of_size(device_password_characters);
  for (std::byte& character : password.writable()) {
    const auto choice = randombytes_uniform(static_cast<std::uint32_t>(password_alphabet.size()));
    character = static_cast<std::byte>(password_alphabet[choice]);
  }
  return password;
}

}  // namespace postern::crypto
