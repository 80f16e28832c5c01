// links: postern_crypto
// The streaming body canonicaliser against one that takes RFC 6376 §3.4.4 word by word over the
// whole body.
#include <sodium.h>

#include "crypto/dkim.hpp"
#include "relay/base/assert.hpp"

namespace {

std::string reduce_line(std::string line) {
  std::string reduced;
  for (const char c : line) {
    const bool space = c == ' ' || c == '\t';
    if (!space) reduced += c;
    if (space && !reduced.ends_with(' ')) reduced += ' ';
  }
  if (reduced.ends_with(' ')) reduced.pop_back();
  return reduced;
}

std::string canonical(std::string body) {
  std::string result;
  std::size_t kept = 0;  // up to the last line that is not empty
  while (!body.empty()) {
    const std::size_t end = body.find("\r\n");
    const std::string line = reduce_line(body.substr(0, end));
    result += line + "\r\n";
    if (!line.empty()) kept = result.size();
    body.erase(0, end == std::string::npos ? body.size() : end + 2);
  }
  return result.substr(0, kept);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} + 1;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  postern::crypto::DkimBodyHasher hasher;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    hasher.update(postern::as_bytes(std::string_view(body).substr(at, piece)));
  }
  const std::string expected_text = canonical(body);
  postern::crypto::Sha256Digest expected{};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(expected.data()),
                     reinterpret_cast<const unsigned char*>(expected_text.data()),
                     expected_text.size());
  POSTERN_ASSERT(hasher.finish() == expected);
  return 0;
}
