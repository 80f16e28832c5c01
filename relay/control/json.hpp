// What both sides of the control protocol share about JSON: bounded reading, writing that never
// fails.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace postern::control {

using Json = nlohmann::ordered_json;

inline constexpr std::size_t request_bytes_max = 4'096;      // a verb and an id
inline constexpr std::size_t response_bytes_max = 16 << 20;  // what the control socket carries
inline constexpr int json_depth_max =
    16;  // ours are 5 deep; deeper text would recurse deep when written

// Nothing when it is no JSON, longer than bytes_max or nested deeper than json_depth_max.
[[nodiscard]] std::optional<Json> read_json(std::string_view text, std::size_t bytes_max);

// One line; octets that are no UTF-8 (peers send what they like) become U+FFFD.
[[nodiscard]] std::string write_json(const Json& value);

}  // namespace postern::control
