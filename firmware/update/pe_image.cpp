// A PE image's headers; see the header.
#include "firmware/update/pe_image.hpp"

#include <cstdint>
#include <optional>

namespace postern::firmware {

namespace {

// The PE format's "MS-DOS Stub", "Optional Header" and "Optional Header Data Directories".
constexpr std::size_t place_of_header = 0x3c;
constexpr std::string_view signature("PE\0\0", 4);
constexpr std::size_t optional_header = 24;  // behind the signature and the file header
constexpr std::uint32_t magic_64_bit = 0x20b;
constexpr std::size_t directory_count = 108, directories = 112, directory_bytes = 8;
constexpr std::uint32_t certificate_table = 4;

std::optional<std::uint32_t> number(std::string_view from, std::size_t at, std::size_t bytes) {
  if (at > from.size() || from.size() - at < bytes) return std::nullopt;
  std::uint32_t value = 0;
  for (std::size_t i = bytes; i-- > 0;)
    value = value << 8 | static_cast<std::uint8_t>(from[at + i]);
  return value;
}

}  // namespace

bool carries_signature(std::string_view front) {
  const auto place = number(front, place_of_header, 4);
  if (!front.starts_with("MZ") || !place || *place > front.size()) return false;
  front.remove_prefix(*place);
  if (!front.starts_with(signature) || front.size() < optional_header) return false;
  front.remove_prefix(optional_header);
  if (number(front, 0, 2) != magic_64_bit) return false;
  if (number(front, directory_count, 4).value_or(0) <= certificate_table) return false;
  return number(front, directories + certificate_table * directory_bytes + 4, 4).value_or(0) != 0;
}

}  // namespace postern::firmware
