// Numbers that follow from a seed alone, on every machine and library, so that a seed replays.
#pragma once

#include <cstdint>
#include <random>

namespace postern::fault {

class SeededRandom {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  [[nodiscard]] std::uint64_t number() { return engine_(); }
  // 0 … bound - 1. The standard's distributions differ from library to library; this does not.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  [[nodiscard]] std::uint64_t between(std::uint64_t least, std::uint64_t most) {
    return least + below(most - least + 1);
  }
  [[nodiscard]] bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace postern::fault
