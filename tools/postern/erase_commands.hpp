// `postern erase`: keys first, then everything else, and what others still have to be told.
//
// Promise: nothing goes before the hostname of the configuration was typed; what is to be revoked
// is read before the first file is gone, and told whatever fails afterwards; the configuration's
// main file goes last, so that what a power cut ended can be run again. Sharp edge: a flash medium
// writes somewhere else than it is told, so overwriting is no guarantee there; the report says so.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"

namespace postern::tools {

struct EraseOrder {
  bool show = false;  // only tell
  std::string confirmed_hostname;
  std::optional<std::string> authority;  // the directory of one that stands elsewhere
};
[[nodiscard]] Outcome<> erase(const std::string& configuration_path, const EraseOrder& order);

}  // namespace postern::tools
