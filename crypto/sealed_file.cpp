// Files sealed under a passphrase; the format is told in the header.
#include "crypto/sealed_file.hpp"

#include <sodium.h>

#include <algorithm>

#include "crypto/sealed_body.hpp"
#include "relay/base/assert.hpp"

namespace postern::crypto {

namespace {

constexpr std::string_view magic = "postern backup\r\n";
constexpr std::uint32_t version = 1;
// RFC 9106 §4, the second recommended choice: what the smallest box (160 MiB) can spare.
constexpr SealedFileCost cost_used{3, 64 * 1024};
// A later version may ask for more; a file somebody else made must not take all memory or the day.
constexpr SealedFileCost cost_max{16, 256 * 1024};
constexpr SealedFileCost cost_min{1, 8 * 1024};
constexpr std::size_t number_bytes = 4;
constexpr std::size_t salt_at = magic.size() + 3 * number_bytes;
constexpr std::size_t check_at = salt_at + crypto_pwhash_SALTBYTES;
constexpr std::size_t check_bytes =
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(check_at + check_bytes == sealed_file_head_bytes);

void append_number(Bytes& to, std::uint32_t value) {
  for (std::size_t i = 0; i < number_bytes; ++i)
    to.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::uint32_t number_at(ByteView from, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < number_bytes; ++i)
    value |= std::to_integer<std::uint32_t>(from[at + i]) << (8 * i);
  return value;
}

Result<Secret> derive_key(ByteView salt, const SealedFileCost& cost, const Secret& passphrase) {
  Secret key = Secret::of_size(crypto_secretstream_xchacha20poly1305_KEYBYTES);
  if (crypto_pwhash(reinterpret_cast<unsigned char*>(key.writable().data()), key.size(),
                    passphrase.text().data(), passphrase.size(),
                    reinterpret_cast<const unsigned char*>(salt.data()), cost.passes,
                    std::size_t{cost.memory_kib} * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(ErrorKind::io, "derive the key of a backup",
                "there is not enough free memory (" + std::to_string(cost.memory_kib / 1024) +
                    " MiB); end other programs and try again");
  }
  return key;
}

std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::unsupported, "read a backup", std::move(detail));
}

}  // namespace

Result<SealedFileCost> read_sealed_file_cost(ByteView head) {
  if (head.size() != sealed_file_head_bytes || as_text(head.first(magic.size())) != magic)
    return refuse("this file is no backup of Postern, or its beginning is damaged");
  if (number_at(head, magic.size()) != version)
    return refuse("it was written by a newer Postern; restore it with that one");
  const SealedFileCost cost{number_at(head, magic.size() + number_bytes),
                            number_at(head, magic.size() + 2 * number_bytes)};
  if (cost.passes < cost_min.passes || cost.passes > cost_max.passes ||
      cost.memory_kib < cost_min.memory_kib || cost.memory_kib > cost_max.memory_kib) {
    return refuse("its beginning is damaged: it asks for an absurd cost of the key");
  }
  return cost;
}

Result<SealedFile> begin_sealed_file(const Secret& passphrase) {
  SealedFile file;
  append(file.head, as_bytes(magic));
  append_number(file.head, version);
  append_number(file.head, cost_used.passes);
  append_number(file.head, cost_used.memory_kib);
  file.head.resize(check_at);
  randombytes_buf(file.head.data() + salt_at, crypto_pwhash_SALTBYTES);
  auto key = derive_key(ByteView(file.head).subspan(salt_at), cost_used, passphrase);
  if (!key) return std::unexpected(key.error());
  file.key = std::move(*key);
  const Bytes check = seal_small(file.key, {}, as_text(file.head));
  append(file.head, check);
  POSTERN_ASSERT(file.head.size() == sealed_file_head_bytes);
  return file;
}

Result<Secret> open_sealed_file(ByteView head, const Secret& passphrase) {
  const auto cost = read_sealed_file_cost(head);
  if (!cost) return std::unexpected(cost.error());
  auto key = derive_key(head.subspan(salt_at, crypto_pwhash_SALTBYTES), *cost, passphrase);
  if (!key) return key;
  if (!open_small(*key, head.subspan(check_at), as_text(head.first(check_at)))) {
    return fail(ErrorKind::invalid, "open the backup",
                "the passphrase is wrong, or the first octets of the file are damaged");
  }
  return key;
}

}  // namespace postern::crypto
