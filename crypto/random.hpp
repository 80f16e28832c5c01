// Random octets from the operating system through libsodium, and what is made of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

// Once, before anything else of this folder, on the main thread.
[[nodiscard]] Result<> initialise();

void fill_random(std::span<std::byte> octets);
[[nodiscard]] std::uint32_t random_number();               // 32 random bits
[[nodiscard]] std::string random_hex(std::size_t octets);  // twice as many digits

// 16 characters of letters and digits without look-alikes (no 0 O o 1 l I): 16 * log2(56) = 92
// bits, and it can be typed at a printer's panel.
[[nodiscard]] Secret make_device_password();

}  // namespace postern::crypto
