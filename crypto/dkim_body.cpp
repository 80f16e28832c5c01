// The streaming body hasher; declared with its promise in crypto/dkim.hpp.
//
// Empty lines are counted and white space is remembered until something follows them, because at
// the end of the body (and of a line) they do not count. So one octet of input can release many;
// memory stays constant.
#include <sodium.h>

#include <array>
#include <string_view>

#include "crypto/dkim.hpp"
#include "relay/base/assert.hpp"

namespace postern::crypto {

struct DkimBodyHasher::Parts {
  crypto_hash_sha256_state state{};
  std::array<unsigned char, 4096> buffer{};
  std::size_t buffered = 0;
  std::uint64_t line_ends = 0;  // CRLFs read and not yet hashed
  bool white_space = false;     // read on this line and not yet hashed
  bool carriage_return = false;
  bool any_text = false;
  bool finished = false;

  void flush() {
    crypto_hash_sha256_update(&state, buffer.data(), buffered);
    buffered = 0;
  }
  void put(char c) {
    if (buffered == buffer.size()) flush();
    buffer[buffered++] = static_cast<unsigned char>(c);
  }
  void put_text(char c) {
    for (; line_ends > 0; --line_ends) {
      put('\r');
      put('\n');
    }
    if (white_space) put(' ');
    white_space = false;
    put(c);
    any_text = true;
  }
  void take(char c) {
    if (carriage_return) {
      carriage_return = false;
      if (c == '\n') {
        white_space = false;  // §3.4.4 (a): ignored at the end of a line
        ++line_ends;
        return;
      }
      put_text('\r');  // a bare CR is text like any other; the session refuses it before
    }
    if (c == '\r') {
      carriage_return = true;
    } else if (c == ' ' || c == '\t') {
      white_space = true;
    } else {
      put_text(c);
    }
  }
};

DkimBodyHasher::DkimBodyHasher() : parts_(std::make_unique<Parts>()) {
  crypto_hash_sha256_init(&parts_->state);
}
DkimBodyHasher::~DkimBodyHasher() = default;
DkimBodyHasher::DkimBodyHasher(DkimBodyHasher&&) noexcept = default;
DkimBodyHasher& DkimBodyHasher::operator=(DkimBodyHasher&&) noexcept = default;

void DkimBodyHasher::update(ByteView body) {
  POSTERN_ASSERT(!parts_->finished);
  for (const char c : as_text(body)) parts_->take(c);
}

Sha256Digest DkimBodyHasher::finish() {
  POSTERN_ASSERT(!parts_->finished);
  parts_->finished = true;
  if (parts_->carriage_return) parts_->put_text('\r');
  // §3.4.4 (b): empty lines at the end go, the last line ends in CRLF; an empty body stays empty.
  if (parts_->any_text) {
    parts_->put('\r');
    parts_->put('\n');
  }
  parts_->flush();
  Sha256Digest digest{};
  crypto_hash_sha256_final(&parts_->state, reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace postern::crypto
