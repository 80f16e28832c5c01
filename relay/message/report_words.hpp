// What an enhanced status code (RFC 3463) means to a person, and what that person can do about it.
//
// Promise: one or two plain sentences for every code, a general one for codes nobody has told us
// about.
#pragma once

#include <string_view>

#include "relay/message/delivery_report.hpp"

namespace postern::message {

struct StatusWords {
  std::string_view meaning;
  std::string_view advice;
};

[[nodiscard]] StatusWords words_for(ReportAction action, std::string_view status);

}  // namespace postern::message
