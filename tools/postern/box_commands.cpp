// Updates and their story; see the header.
#include "box_commands.hpp"

#include <fmt/format.h>

#include "firmware/init/box_story.hpp"
#include "firmware/update/this_box.hpp"
#include "relay/base/file.hpp"

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

void tell_box(Report& report) {
  const auto text = postern::read_file(firmware::box_story_file, firmware::box_story_bytes_max);
  const auto story = text ? firmware::read_box_story(*text) : std::nullopt;
  if (!story) return;
  report.text += fmt::format("Slot           {}, {}\n", story->slot, story->state);
  if (!story->update.empty()) report.text += fmt::format("Last update    {}\n", story->update);
  Json& box = report.json["box"];
  box["slot"] = story->slot;
  box["state"] = story->state;
  box["update"] = story->update;
}

}  // namespace postern::tools
