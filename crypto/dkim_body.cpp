// The streaming body hasher; declared with its promise in crypto/dkim.hpp.
//
// Empty lines are counted and white space is remembered until something follows them, because at
// the end of the body (and of a line) they do not count. So one octet of input can release many;
// memory stays constant. SHA-256 is libcrypto's, which uses the processor's own where there is one.
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "crypto/dkim.hpp"
#include "relay/base/assert.hpp"

namespace postern::crypto {

struct DkimBodyHasher::Parts {
  std::unique_ptr<EVP_MD_CTX, decltype([](EVP_MD_CTX* context) { EVP_MD_CTX_free(context); })>
      sha256{EVP_MD_CTX_new()};
  std::array<unsigned char, 4096> buffer{};
  std::size_t buffered = 0;
  std::uint64_t line_ends = 0;  // CRLFs read and not yet hashed
  bool white_space = false;     // read on this line and not yet hashed
  bool carriage_return = false;
  bool any_text = false;
  bool finished = false;

  void flush() {
    POSTERN_ASSERT(EVP_DigestUpdate(sha256.get(), buffer.data(), buffered) == 1);
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
  // Characters of one line without white space and CR: nothing is left out of them.
  void put_run(std::string_view run) {
    if (run.empty()) return;
    put_text(run.front());
    run.remove_prefix(1);
    while (!run.empty()) {
      if (buffered == buffer.size()) flush();
      const std::size_t count = std::min(run.size(), buffer.size() - buffered);
      std::memcpy(buffer.data() + buffered, run.data(), count);
      buffered += count;
      run.remove_prefix(count);
    }
  }
  void take_line(std::string_view line) {
    if (carriage_return && !line.empty()) {
      take(line.front());
      line.remove_prefix(1);
    }
    if (!line.contains(' ') && !line.contains('\t')) return put_run(line);
    for (const char c : line) take(c);
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
  POSTERN_ASSERT(EVP_DigestInit_ex(parts_->sha256.get(), EVP_sha256(), nullptr) == 1);
}
DkimBodyHasher::~DkimBodyHasher() = default;
DkimBodyHasher::DkimBodyHasher(DkimBodyHasher&&) noexcept = default;
DkimBodyHasher& DkimBodyHasher::operator=(DkimBodyHasher&&) noexcept = default;

void DkimBodyHasher::update(ByteView body) {
  POSTERN_ASSERT(!parts_->finished);
  std::string_view text = as_text(body);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\r'), text.size());
    parts_->take_line(text.substr(0, end));
    text.remove_prefix(end);
    if (text.empty()) break;
    parts_->take('\r');
    text.remove_prefix(1);
  }
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
  POSTERN_ASSERT(EVP_DigestFinal_ex(parts_->sha256.get(),
                                    reinterpret_cast<unsigned char*>(digest.data()), nullptr) == 1);
  return digest;
}

}  // namespace postern::crypto
