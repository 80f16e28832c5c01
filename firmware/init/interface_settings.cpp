// Settings as lines; see the header.
#include "firmware/init/interface_settings.hpp"

#include <arpa/inet.h>

#include <bit>
#include <charconv>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::size_t label_width = 15;
constexpr std::string_view address_label = "Address", router_label = "Router",
                           name_server_label = "Name server", time_server_label = "Time server";

std::string line_of(std::string_view label, const std::string& value) {
  std::string line(label);
  line.resize(label_width, ' ');
  return line + value + "\n";
}

std::uint32_t number_of(const Ipv4& address) {
  std::uint32_t number = 0;
  for (const std::uint8_t part : address) number = (number << 8) | part;
  return number;
}

std::optional<Ipv4> read_address(std::string_view text) {
  Ipv4 address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), address.data()) != 1) return std::nullopt;
  return address;
}

std::optional<Ipv4> read_mask(std::string_view bits_text) {
  unsigned bits = 0;
  const auto [end, error] =
      std::from_chars(bits_text.data(), bits_text.data() + bits_text.size(), bits);
  if (error != std::errc{} || end != bits_text.data() + bits_text.size() || bits < 1 || bits > 32)
    return std::nullopt;
  return mask_of(bits);
}

bool take_line(std::string_view label, std::string_view value, InterfaceSettings& into) {
  const std::string_view host = value.substr(0, value.find('/'));
  const auto address = read_address(host);
  if (!address) return false;
  if (label == address_label) {
    const auto mask =
        host.size() < value.size() ? read_mask(value.substr(host.size() + 1)) : std::nullopt;
    into.address = *address;
    into.mask = mask.value_or(Ipv4{});
    return mask.has_value();
  }
  if (host.size() < value.size()) return false;
  if (label == router_label) into.router = address;
  if (label == name_server_label) into.name_servers.push_back(*address);
  if (label == time_server_label) into.time_servers.push_back(*address);
  return label == router_label || label == name_server_label || label == time_server_label;
}

}  // namespace

std::string text_of(const Ipv4& address) {
  std::string text;
  for (const std::uint8_t part : address) text += (text.empty() ? "" : ".") + std::to_string(part);
  return text;
}

Ipv4 mask_of(unsigned prefix_bits) {
  const std::uint32_t number = ~0U << (32 - prefix_bits);
  return {static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
          static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
}

std::string settings_text(const InterfaceSettings& settings) {
  std::string text =
      line_of(address_label, text_of(settings.address) + "/" +
                                 std::to_string(std::popcount(number_of(settings.mask))));
  if (settings.router) text += line_of(router_label, text_of(*settings.router));
  for (const Ipv4& server : settings.name_servers)
    text += line_of(name_server_label, text_of(server));
  for (const Ipv4& server : settings.time_servers)
    text += line_of(time_server_label, text_of(server));
  return text;
}

std::optional<InterfaceSettings> read_settings(std::string_view text) {
  InterfaceSettings settings;
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty()) continue;
    if (line.size() <= label_width) return std::nullopt;
    if (!take_line(trimmed(line.substr(0, label_width)), line.substr(label_width), settings))
      return std::nullopt;
  }
  if (settings.address == Ipv4{}) return std::nullopt;
  return settings;
}

}  // namespace postern::firmware
