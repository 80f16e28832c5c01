// The one thing an update is asked of its kernel images: whether they are signed for Secure Boot.
//
// Promise: bounded by what is given, whatever it holds. Sharp edge: whose signature it is, and
// whether it is good, only the machine's firmware can tell.
#pragma once

#include <cstddef>
#include <string_view>

namespace postern::firmware {

inline constexpr std::size_t pe_front_bytes = 4096;  // the headers end within 1 KiB

// `front`: the image's first octets, pe_front_bytes where it has as many. False also for what is no
// 64-bit PE image.
[[nodiscard]] bool carries_signature(std::string_view front);

}  // namespace postern::firmware
