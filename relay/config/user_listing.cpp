// The users as the files have them, for `postern user list`, remove and passwd.
#include <algorithm>
#include <utility>

#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/toml_reader.hpp"
#include "relay/config/user_file.hpp"

namespace postern::config {

namespace {

std::vector<std::string> texts(TableReader& table, std::string_view key) {
  std::vector<std::string> values;
  const auto list = table.text_list(key);
  if (!list) return values;
  for (const auto& item : *list) values.push_back(item.value);
  return values;
}

// The password is not read: a listing has no use for it.
void list_from(TableReader& root, bool in_main_file, UserListing& listing) {
  std::vector<TableReader> tables = root.tables("user", users_max);
  for (TableReader& table : tables) {
    const auto name = table.text("name");
    if (!name) continue;
    ListedUser user;
    user.settings.name = name->value;
    user.settings.senders = texts(table, "senders");
    user.settings.recipients = texts(table, "recipients");
    user.settings.addresses = texts(table, "addresses");
    if (const auto owner = table.text("owner")) user.settings.owner = owner->value;
    user.place = name->place;
    user.in_main_file = in_main_file;
    user.alone_in_file = !in_main_file && tables.size() == 1;
    listing.users.push_back(std::move(user));
  }
}

void list_routes(TableReader& root, UserListing& listing) {
  for (TableReader& table : root.tables("route", routes_max)) {
    const auto names = table.text_list("users");
    if (!names) continue;
    for (const auto& name : *names) listing.route_users.emplace_back(name.value, name.place);
  }
}

}  // namespace

const ListedUser* UserListing::find(std::string_view name) const {
  const auto found = std::ranges::find_if(
      users, [&](const ListedUser& user) { return user.settings.name == name; });
  return found == users.end() ? nullptr : &*found;
}

Result<UserListing> list_users(const std::string& configuration_path) {
  DiskFiles files;
  UserListing listing;
  Problems problems;
  const auto main_text = files.read(configuration_path, configuration_bytes_max);
  if (!main_text) return std::unexpected(main_text.error());
  if (const auto parsed = parse_toml(*main_text, configuration_path, problems)) {
    TableReader root(*parsed, "", configuration_path, problems);
    list_from(root, true, listing);
    list_routes(root, listing);
  }
  const std::string directory = user_directory_path(configuration_path);
  const auto names = files.user_files(directory);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const std::string path = resolve_path(directory, name);
    const auto text = files.read_user_file(path, configuration_bytes_max);
    if (!text) {
      problems.add({path, 0, 0}, text.error().text());
      continue;
    }
    const auto parsed = parse_toml(*text, path, problems);
    if (!parsed) continue;
    TableReader root(*parsed, "", path, problems);
    list_from(root, false, listing);
  }
  listing.problems = problems.take_sorted();
  return listing;
}

}  // namespace postern::config
