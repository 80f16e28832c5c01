// A password, a key, a token: octets that wipe themselves and cannot be printed.
//
// Promise: the memory is wiped before it is given back, on destruction, assignment and move; there
// is no conversion to text, no stream operator and no fmt formatter, so that logging one does not
// compile. Sharp edge: view() lends the octets; a copy made from it is outside the promise, so hand
// the view straight to the function that needs it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "relay/base/bytes.hpp"

namespace postern {

class Secret {
 public:
  Secret() = default;
  explicit Secret(ByteView bytes);
  explicit Secret(std::string_view text) : Secret(as_bytes(text)) {}
  // Room for `size` octets, zeroed, to be filled through writable().
  [[nodiscard]] static Secret of_size(std::size_t size);
  // Takes the octets out of `text` and wipes it, also its unused room.
  [[nodiscard]] static Secret take_from(std::string& text);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  [[nodiscard]] Secret clone() const { return Secret(view()); }
  [[nodiscard]] ByteView view() const { return {bytes_.get(), size_}; }
  [[nodiscard]] std::span<std::byte> writable() { return {bytes_.get(), size_}; }
  [[nodiscard]] std::string_view text() const { return as_text(view()); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
};

// Overwrites memory in a way the compiler keeps.
void wipe(std::span<std::byte> memory);

// For a buffer that a secret may pass through: as append(), but what a growing buffer leaves behind
// is wiped; and the first `count` octets taken away, with the room that this sets free wiped.
void append_wiping(Bytes& to, ByteView more);
void drop_front_wiping(Bytes& from, std::size_t count);

}  // namespace postern
