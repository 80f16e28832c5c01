// Owners, random source and words for mbedTLS; see the header.
#include "crypto/mbedtls_support.hpp"

#include <fmt/format.h>
#include <mbedtls/error.h>
#include <sodium.h>

#include <algorithm>
#include <array>

namespace postern::crypto {

int mbedtls_random(void* /*unused*/, unsigned char* out, std::size_t size) {
  randombytes_buf(out, size);
  return 0;
}

Secret with_terminator(const Secret& text) {
  Secret terminated = Secret::of_size(text.size() + 1);
  std::ranges::copy(text.view(), terminated.writable().begin());
  return terminated;
}

std::string mbedtls_words(int code) {
  std::array<char, 200> words{};
  mbedtls_strerror(code, words.data(), words.size());
  return fmt::format("{} (-0x{:04x})", words.data(), static_cast<unsigned>(-code));
}

}  // namespace postern::crypto
