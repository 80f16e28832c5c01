// A PE image's headers as sbsign leaves them, with nothing behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace postern::firmware {

inline void put(std::string& into, std::size_t at, std::uint32_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) into[at + i] = static_cast<char>(value >> (8 * i));
}

// `certificates`: octets of the certificate table; none when 0.
inline std::string pe_image(std::uint32_t certificates) {
  constexpr std::size_t header = 128, optional = header + 24;
  std::string image(1024, '\0');
  image.replace(0, 2, "MZ");
  put(image, 0x3c, header, 4);
  image.replace(header, 2, "PE");
  put(image, optional, 0x20b, 2);
  put(image, optional + 108, 16, 4);
  put(image, optional + 112 + 4 * 8 + 4, certificates, 4);
  return image;
}

}  // namespace postern::firmware
