// Updates and their story; see the header.
#include "box_commands.hpp"

#include <fmt/format.h>

#include <vector>

#include "firmware/init/box_story.hpp"
#include "firmware/init/interface_settings.hpp"
#include "firmware/update/this_box.hpp"
#include "relay/base/file.hpp"
#include "relay/config/configuration.hpp"

namespace postern::tools {

namespace {

constexpr std::size_t command_line_bytes_max = 64UZ * 1024;  // the kernel's own limit is shorter

Failure failure_of(const Error& error) {
  if (error.kind == ErrorKind::unsupported) {
    return {error.text(),
            "Update the package by this machine's package manager, such as `apt-get install "
            "--only-upgrade postern`."};
  }
  return {error.text(), "The slot that runs is untouched. Get the update again, then try again."};
}

firmware::Ipv4 ipv4_of(const IpAddress& address) {
  return {address.octets[0], address.octets[1], address.octets[2], address.octets[3]};
}

std::vector<firmware::Ipv4> ipv4_of(const std::vector<IpAddress>& addresses) {
  std::vector<firmware::Ipv4> result;
  for (const IpAddress& address : addresses) result.push_back(ipv4_of(address));
  return result;
}

firmware::InterfaceSettings settings_of(const config::Network& network) {
  firmware::InterfaceSettings settings;
  settings.address = ipv4_of(network.address);
  settings.mask = firmware::mask_of(network.prefix_bits);
  if (network.router) settings.router = ipv4_of(*network.router);
  settings.name_servers = ipv4_of(network.name_servers);
  settings.time_servers = ipv4_of(network.time_servers);
  return settings;
}

std::optional<firmware::BoxStory> read_story() {
  const auto text = postern::read_file(firmware::box_story_file, firmware::box_story_bytes_max);
  return text ? firmware::read_box_story(*text) : std::nullopt;
}

std::string story_text(const firmware::BoxStory& story) {
  std::string text = fmt::format("Slot           {}, {}\n", story.slot, story.state);
  if (!story.update.empty()) text += fmt::format("Last update    {}\n", story.update);
  return text;
}

}  // namespace

Outcome<> install_update(const std::string& file) {
  const auto command_line = postern::read_file("/proc/cmdline", command_line_bytes_max);
  const auto target = firmware::this_box(command_line ? *command_line : "");
  if (!target) return std::unexpected(failure_of(target.error()));
  const auto version = firmware::install_update(file, *target);
  if (!version) return std::unexpected(failure_of(version.error()));
  Report report;
  report.text = fmt::format(
      "Version {} is installed in slot {}.\nIt is tried at the next start and kept when it proves "
      "to be healthy.\n",
      printable(*version), target->slot);
  report.json["version"] = *version;
  report.json["slot"] = std::string(1, target->slot);
  return report;
}

Outcome<> show_network(const std::string& configuration_path) {
  const auto network = config::read_network_settings(configuration_path);
  if (!network) {
    return std::unexpected(Failure{network.error().text(), "Mend it, then `postern check`."});
  }
  Report report;
  report.json["address"] = nullptr;
  if (!*network) {
    report.text = "An address comes by DHCP.\n";
    return report;
  }
  const auto settings = settings_of(**network);
  report.text = firmware::settings_text(settings);
  report.json["address"] =
      fmt::format("{}/{}", (*network)->address.text(), (*network)->prefix_bits);
  if (settings.router) report.json["router"] = firmware::text_of(*settings.router);
  for (const auto& server : settings.name_servers)
    report.json["name_servers"].push_back(firmware::text_of(server));
  for (const auto& server : settings.time_servers)
    report.json["time_servers"].push_back(firmware::text_of(server));
  return report;
}

void tell_box(Report& report) {
  const auto story = read_story();
  if (!story) return;
  report.text += story_text(*story);
  Json& box = report.json["box"];
  box["slot"] = story->slot;
  box["state"] = story->state;
  box["update"] = story->update;
}

Failure with_box(Failure failure) {
  if (const auto story = read_story()) {
    // Nobody can start anything there.
    failure.advice = "POSTERN.TXT says what the box knows of its relay.\n\n" + story_text(*story);
  }
  return failure;
}

}  // namespace postern::tools
