// Memory that wipes itself.
#include "relay/base/secret.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace postern {

void wipe(std::span<std::byte> memory) {
  if (memory.empty()) return;
  // explicit_bzero is the one memset a compiler may not remove.
  explicit_bzero(memory.data(), memory.size());
}

void append_wiping(Bytes& to, ByteView more) {
  const std::size_t size = to.size() + more.size();
  if (size > to.capacity()) {
    Bytes larger;
    larger.reserve(std::max(size, 2 * to.capacity()));
    append(larger, to);
    wipe(to);
    to.swap(larger);
  }
  append(to, more);
}

void drop_front_wiping(Bytes& from, std::size_t count) {
  std::copy(from.begin() + static_cast<std::ptrdiff_t>(count), from.end(), from.begin());
  wipe(std::span(from).last(count));
  from.resize(from.size() - count);
}

Secret::Secret(ByteView bytes) : size_(bytes.size()) {
  if (size_ == 0) return;
  bytes_ = std::make_unique<std::byte[]>(size_);
  std::memcpy(bytes_.get(), bytes.data(), size_);
}

Secret Secret::of_size(std::size_t size) {
  Secret secret;
  if (size != 0) secret.bytes_ = std::make_unique<std::byte[]>(size);
  secret.size_ = size;
  return secret;
}

Secret Secret::take_from(std::string& text) {
  Secret secret{std::string_view(text)};
  // resize to the capacity never reallocates; what earlier, longer contents left behind goes too.
  text.resize(text.capacity());
  wipe(std::as_writable_bytes(std::span(text.data(), text.size())));
  text.clear();
  return secret;
}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe(writable());
  bytes_ = std::move(other.bytes_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

Secret::~Secret() { wipe(writable()); }

}  // namespace postern
