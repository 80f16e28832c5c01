// links: postern_crypto
// Sealed streams: what nobody sealed never opens, and what was sealed opens unless an octet was
// changed.
#include <algorithm>

#include "crypto/sealed_body.hpp"
#include "relay/base/assert.hpp"

namespace {

bool opens(const postern::Secret& key, postern::ByteView sealed, std::size_t piece,
           postern::Bytes& plain) {
  postern::crypto::SealReader reader(key);
  for (std::size_t at = 0; at < sealed.size(); at += piece) {
    if (!reader.read(sealed.subspan(at, std::min(piece, sealed.size() - at)), plain)) return false;
  }
  return reader.finish().has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const postern::Secret key = postern::Secret::of_size(32);
  // The reader tries the open chunk at each call, so long inputs come in larger pieces.
  const std::size_t piece = std::max(std::size_t{data[0]} * 16 + 1, size / 32);
  const std::size_t flip = std::size_t{data[1]} << 8 | data[2];
  const postern::ByteView input = std::as_bytes(std::span(data, size)).subspan(3);
  postern::Bytes ignored;
  POSTERN_ASSERT(!opens(key, input, piece, ignored));
  POSTERN_ASSERT(!postern::crypto::open_small(key, input, "fuzz"));

  postern::crypto::SealWriter writer(key);
  postern::Bytes sealed;
  writer.write(input, sealed);
  writer.finish(sealed);
  postern::Bytes plain;
  POSTERN_ASSERT(opens(key, sealed, piece, plain) && std::ranges::equal(plain, input));
  sealed[flip % sealed.size()] ^= std::byte{1};
  POSTERN_ASSERT(!opens(key, sealed, piece, ignored));
  return 0;
}
