// Where a header field's name ends (RFC 5322 §2.2, and §4.5 for blanks before the colon).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace postern::message {

// Length of the field name that starts `line`; nothing when the line starts no field.
[[nodiscard]] std::optional<std::size_t> field_name_bytes(std::string_view line);

}  // namespace postern::message
