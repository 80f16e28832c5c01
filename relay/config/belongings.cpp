// What a configuration names; see the header.
#include "relay/config/belongings.hpp"

#include <array>

#include "relay/base/text.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

void add_file(TableReader& table, std::string_view key, const std::string& directory,
              Belongings& found) {
  const auto name = table.text(key);
  if (!name) return;
  found.files.push_back(
      {std::string(key), absolute_path(resolve_path(directory, name->value)), name->place});
}

}  // namespace

Result<Belongings> read_belongings(std::string_view text, const std::string& path) {
  Problems problems;  // of the rest, which is not this function's matter
  const auto parsed = parse_toml(text, path, problems);
  if (!parsed) {
    return fail(ErrorKind::invalid, "read the configuration",
                problems.take_sorted().front().text());
  }
  const std::string directory = directory_of(path);
  Belongings found;
  std::string state(state_directory_default);
  TableReader root(*parsed, "", path, problems);
  if (auto server = root.table("server")) {
    if (const auto name = server->text("hostname")) found.hostname = to_lower(name->value);
    if (const auto name = server->text("state_directory")) state = name->value;
  }
  found.state_directory = absolute_path(resolve_path(directory, state));
  if (auto tls = root.table("tls")) {
    add_file(*tls, "certificate_file", directory, found);
    add_file(*tls, "private_key_file", directory, found);
  }
  for (TableReader& table : root.tables("dkim", dkim_keys_max)) {
    add_file(table, "private_key_file", directory, found);
    const auto domain = table.text("domain");
    const auto selector = table.text("selector");
    if (domain && selector)
      found.signing_names.push_back({to_lower(domain->value), to_lower(selector->value)});
  }
  for (TableReader& table : root.tables("upstream", upstreams_max)) {
    add_file(table, "ca_file", directory, found);
    add_file(table, "password_file", directory, found);
    const auto host = table.text("host");
    const auto user = table.text("username");
    if (host && user) found.logins.push_back({to_lower(host->value), user->value});
  }
  return found;
}

}  // namespace postern::config
