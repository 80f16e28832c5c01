// The head of an update bundle: what it says it is, signed.
//
//   POSTERN-BUNDLE 1 <octets of the manifest> <octets of the signature>\n
//   <manifest><signature><root><kernel image of slot a><kernel image of slot b>
//
// The manifest is lines of words: version, architecture, built, root, kernel-a, kernel-b; the last
// three with octets and SHA-256. The signature is minisign's, over the manifest.
//
// Promise: a manifest lacks nothing and has nothing twice or unknown; sizes fit their places.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "relay/base/error.hpp"

namespace postern::firmware {

inline constexpr std::size_t bundle_head_bytes_max = 8192;
inline constexpr std::uint64_t root_bytes_max = 16ULL << 20;    // image/disk.py: a slot
inline constexpr std::uint64_t kernel_bytes_max = 44ULL << 20;  // four fit the EFI partition

struct BundlePart {
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 hexadecimal digits
};

struct Manifest {
  std::string version;
  std::string architecture;
  std::int64_t built = 0;  // seconds since 1970; an update's is later than what runs
  BundlePart root, kernel_a, kernel_b;
};

struct BundleHead {
  std::string manifest_text;
  std::string signature;
  std::uint64_t parts_at = 0;  // where the root begins
};

// `front`: the bundle's first octets, at most bundle_head_bytes_max.
[[nodiscard]] Result<BundleHead> read_bundle_head(std::string_view front);
[[nodiscard]] Result<Manifest> read_manifest(std::string_view text);

}  // namespace postern::firmware
