// See the header.
#include "tests/unit/base/freed_memory.hpp"

#include <malloc.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr std::size_t secrets_max = 8;

struct Watched {
  std::string_view text;
  std::atomic<bool> seen = false;
};

std::array<Watched, secrets_max> watched;
std::atomic<std::size_t> watched_count = 0;
std::atomic<bool> leave_one_thread_out = false;
pthread_t left_out;

void look_through(const void* memory) {
  const std::size_t count = watched_count;
  if (count == 0 || (leave_one_thread_out && pthread_equal(left_out, pthread_self()) != 0)) return;
  const std::size_t size = malloc_usable_size(const_cast<void*>(memory));
  for (std::size_t i = 0; i < count; ++i) {
    if (memmem(memory, size, watched[i].text.data(), watched[i].text.size()) != nullptr) {
      watched[i].seen = true;
    }
  }
}

void give_back(void* memory) {
  if (memory == nullptr) return;
  look_through(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
// The library's own may come from elsewhere than malloc (a sanitizer's does).
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { give_back(memory); }

namespace postern {

FreedMemoryWatch::FreedMemoryWatch(std::vector<std::string_view> secrets, Threads threads)
    : secrets_(std::move(secrets)) {
  if (secrets_.size() > secrets_max || watched_count != 0) std::abort();
  for (std::size_t i = 0; i < secrets_.size(); ++i) {
    watched[i].text = secrets_[i];
    watched[i].seen = false;
  }
  left_out = pthread_self();
  leave_one_thread_out = threads == Threads::others;
  watched_count = secrets_.size();
}

FreedMemoryWatch::~FreedMemoryWatch() { watched_count = 0; }

std::string FreedMemoryWatch::found() const {
  std::string all;
  for (std::size_t i = 0; i < secrets_.size(); ++i) {
    if (watched[i].seen) all += (all.empty() ? "" : " ") + std::string(watched[i].text);
  }
  return all;
}

}  // namespace postern
