// Where something stands in a configuration file, and the list of what is wrong with it.
//
// Promise: problems come out sorted by file, line and column, each once, at most problems_max of
// them and then one that says so. Values in messages are quoted by `shown()`; a secret is never
// given to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/config/configuration.hpp"

namespace postern::config {

struct Place {
  std::string file;
  std::uint32_t line = 0;  // 0: the file as a whole
  std::uint32_t column = 0;
  [[nodiscard]] std::string text() const;  // "users.d/copier-2.toml:3"
};

// A value and where it stands, so that a later check can point at it.
template <class T>
struct Placed {
  T value;
  Place place;
};

class Problems {
 public:
  void add(const Place& place, std::string message);
  [[nodiscard]] bool empty() const { return problems_.empty(); }
  [[nodiscard]] std::vector<Problem> take_sorted();

 private:
  std::vector<Problem> problems_;
};

// `"scan@office"`: quoted, printable, cut.
[[nodiscard]] std::string shown(std::string_view value);
// "45s", "5m", "4h", "2d": as the file itself would write it.
[[nodiscard]] std::string written(Duration duration);

}  // namespace postern::config
