// What an interface is given, by DHCP or by the configuration, and the lines in which the
// operator's command tells the supervisor the latter.
//
// Promise: lines are taken as a whole or not at all. The supervisor reads no TOML: the command
// does, with the relay's rights.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::firmware {

using Ipv4 = std::array<std::uint8_t, 4>;

struct InterfaceSettings {
  Ipv4 address{};
  Ipv4 mask{255, 255, 255, 0};
  std::optional<Ipv4> router;
  std::vector<Ipv4> name_servers;
  std::vector<Ipv4> time_servers;
  bool operator==(const InterfaceSettings&) const = default;
};

[[nodiscard]] std::string text_of(const Ipv4& address);
// `prefix_bits`: 1 to 32.
[[nodiscard]] Ipv4 mask_of(unsigned prefix_bits);

// "Address        192.168.10.5/24", and so on.
[[nodiscard]] std::string settings_text(const InterfaceSettings& settings);
[[nodiscard]] std::optional<InterfaceSettings> read_settings(std::string_view text);

}  // namespace postern::firmware
