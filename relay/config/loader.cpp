// Loading a configuration: the order of the sections, users.d, and what the operator's command
// needs.
#include "relay/config/loader.hpp"

#include <fmt/format.h>

#include <utility>

#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

constexpr std::string_view user_directory = "users.d";

// A file of users.d holds [[user]] tables and nothing else, because a section set in two places
// would make it unclear which one counts.
void read_user_directory(LoadContext& context) {
  const std::string directory = resolve_path(context.directory, std::string(user_directory));
  const auto names = context.files.user_files(directory);
  if (!names) {
    context.problems.add({directory, 0, 0}, names.error().text());
    context.users_complete = false;
    return;
  }
  for (const std::string& name : *names) {
    const std::string path = resolve_path(directory, name);
    const auto text = context.files.read_user_file(path, configuration_bytes_max);
    if (!text) {
      context.problems.add({path, 0, 0}, text.error().text());
      context.users_complete = false;
      continue;
    }
    const auto parsed = parse_toml(*text, path, context.problems);
    if (!parsed) {
      context.users_complete = false;
      continue;
    }
    TableReader root(*parsed, "", path, context.problems);
    read_users(root, context);
    for (const auto& [key, node] : *parsed) {
      if (key.str() == "user") continue;
      const auto& at = key.source().begin;
      context.problems.add(
          {path, at.line, at.column},
          fmt::format("{} does not belong here; files in {} hold [[user]] sections only",
                      shown(key.str()), user_directory));
    }
  }
}

LoadResult finish(Problems& problems, Problems& warnings,
                  std::unique_ptr<Configuration> configuration) {
  LoadResult result;
  result.problems = problems.take_sorted();
  if (!result.problems.empty()) return result;
  result.warnings = warnings.take_sorted();
  result.configuration = std::move(configuration);
  return result;
}

}  // namespace

LoadResult load_from_text(std::string_view text, const std::string& path, FileSource& files,
                          const std::optional<Error>& users_refused) {
  auto configuration = std::make_unique<Configuration>();
  Problems problems;
  LoadContext context{files, problems, *configuration, directory_of(path), {}, {}, true};
  const auto parsed = parse_toml(text, path, problems);
  if (parsed) {
    TableReader root(*parsed, "", path, problems);
    read_server(root, context);
    read_listeners(root, context);
    read_tls(root, context);
    read_limits(root, context);
    read_queue(root, context);
    static_cast<void>(read_network(root));
    if (users_refused && root.has("user")) {
      problems.add(root.place_of("user"), "[[user]] cannot stand here: " + users_refused->text());
    }
    read_users(root, context);
    read_user_directory(context);
    read_dkim_keys(root, context);
    read_upstreams(root, context);
    read_routes(root, context);  // last: it names users and upstreams
    root.finish();
  } else {
    read_user_directory(context);  // its problems can be told all the same
  }
  return finish(problems, context.warnings, std::move(configuration));
}

LoadResult load_configuration(const std::string& path) {
  DiskFiles files;
  const auto main_file = DiskFiles::read_main_file(path, configuration_bytes_max);
  if (main_file) return load_from_text(main_file->text, path, files, main_file->users_refused);
  Problems problems;
  const std::string advice = main_file.error().kind == ErrorKind::not_found
                                 ? "; make it, or name the right file with --config FILE"
                                 : "";
  problems.add({path, 0, 0}, main_file.error().text() + advice);
  Problems no_warnings;
  return finish(problems, no_warnings, nullptr);
}

namespace {

// What is wrong elsewhere than in the syntax is not the matter of the two functions below.
Result<toml::table> parse_file(const std::string& path) {
  DiskFiles files;
  const auto text = files.read(path, configuration_bytes_max);
  if (!text) return std::unexpected(text.error());
  Problems problems;
  auto parsed = parse_toml(*text, path, problems);
  if (parsed) return std::move(*parsed);
  return fail(ErrorKind::invalid, "read the configuration", problems.take_sorted().front().text());
}

}  // namespace

Result<Whereabouts> read_whereabouts(const std::string& path) {
  const auto parsed = parse_file(path);
  if (!parsed) return std::unexpected(parsed.error());
  Problems dropped;
  const std::string directory = directory_of(path);
  Whereabouts found;
  found.state_directory = state_directory_default;
  found.control_socket = control_socket_default;
  TableReader root(*parsed, "", path, dropped);
  if (auto server = root.table("server")) {
    if (const auto value = server->text("hostname")) found.hostname = value->value;
    if (const auto value = server->text("state_directory")) {
      found.state_directory = absolute_path(resolve_path(directory, value->value));
    }
    if (const auto value = server->text("control_socket")) {
      found.control_socket = absolute_path(resolve_path(directory, value->value));
    }
  }
  for (TableReader& table : root.tables("listener", listeners_max)) {
    if (const auto listener = read_listener(table)) found.listeners.push_back(*listener);
  }
  return found;
}

Result<std::optional<Network>> read_network_settings(const std::string& path) {
  const auto parsed = parse_file(path);
  if (!parsed) return std::unexpected(parsed.error());
  Problems problems;
  TableReader root(*parsed, "", path, problems);
  auto network = read_network(root);
  if (problems.empty()) return network;
  return fail(ErrorKind::invalid, "read [network]", problems.take_sorted().front().text());
}

}  // namespace postern::config
