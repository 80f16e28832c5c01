// The head of a file that is sealed under a passphrase and leaves the machine: a backup.
//
//   "postern backup\r\n"   16 octets; a transfer as text breaks it and is noticed
//   version, passes, KiB   u32 little-endian each: Argon2id's cost (RFC 9106)
//   salt                   16 octets
//   check                  40 octets: nothing, sealed under the key with all before it bound in
//   then what SealWriter makes under the key (sealed_body.hpp), to the end of the file
//
// Promise: a wrong passphrase is told apart from damage behind the head; the costs are bounded
// before any memory is taken for them. Sharp edge: damage inside the head cannot be told from a
// wrong passphrase, and whoever has the file may guess passphrases at leisure: hence the minimum
// length and the cost.
#pragma once

#include <array>
#include <cstdint>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

inline constexpr std::size_t sealed_file_head_bytes = 84;
inline constexpr std::size_t passphrase_bytes_min = 12;
inline constexpr std::size_t passphrase_bytes_max = 256;

struct SealedFileCost {
  std::uint32_t passes = 0;
  std::uint32_t memory_kib = 0;
};
// What the head asks for; unsupported where it is no backup, one of a newer Postern, or one whose
// cost would only hurt us.
[[nodiscard]] Result<SealedFileCost> read_sealed_file_cost(ByteView head);

struct SealedFile {
  Bytes head;
  Secret key;  // for SealWriter
};
[[nodiscard]] Result<SealedFile> begin_sealed_file(const Secret& passphrase);
// The key for SealReader; invalid for a wrong passphrase.
[[nodiscard]] Result<Secret> open_sealed_file(ByteView head, const Secret& passphrase);

}  // namespace postern::crypto
