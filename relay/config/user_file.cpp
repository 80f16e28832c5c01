// Files of users.d: names, text, writing; see the header.
#include "relay/config/user_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "relay/base/bytes.hpp"
#include "relay/base/text.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/toml_reader.hpp"
#include "relay/config/words.hpp"

namespace postern::config {

namespace {

constexpr unsigned user_file_mode = 0600;  // verifiers can be guessed at offline
constexpr unsigned user_directory_mode = 0700;

std::string quoted_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    out += quote_toml(text);
  }
  return out + ']';
}

// The table of the user, or null.
const toml::table* find_user(const toml::table& root, std::string_view name) {
  const toml::array* users = root.get_as<toml::array>("user");
  if (users == nullptr) return nullptr;
  for (const toml::node& item : *users) {
    const toml::table* table = item.as_table();
    if (table == nullptr) continue;
    const auto* value = table->get_as<std::string>("name");
    if (value != nullptr && value->get() == name) return table;
  }
  return nullptr;
}

// The line of `password` when key and value stand on one line, else 0.
std::uint32_t password_line(const toml::table& user) {
  for (const auto& [key, node] : user) {
    if (key.str() != "password") continue;
    const auto& value = node.source();
    const bool one_line =
        key.source().begin.line == value.begin.line && value.begin.line == value.end.line;
    return one_line ? value.begin.line : 0;
  }
  return 0;
}

// `password = "…"  # comment` and nothing else: where the value stands in the line.
std::optional<std::pair<std::size_t, std::size_t>> value_in_line(std::string_view line) {
  const std::size_t start = line.find_first_not_of(" \t");
  constexpr std::string_view key = "password";
  if (start == std::string_view::npos || !line.substr(start).starts_with(key)) return std::nullopt;
  const std::size_t equals = line.find_first_not_of(" \t", start + key.size());
  if (equals == std::string_view::npos || line[equals] != '=') return std::nullopt;
  const std::size_t open = line.find_first_not_of(" \t", equals + 1);
  if (open == std::string_view::npos || (line[open] != '"' && line[open] != '\''))
    return std::nullopt;
  // Verifiers hold no quotes and no backslashes, so the next quote ends the value.
  const std::size_t close = line.find(line[open], open + 1);
  if (close == std::string_view::npos) return std::nullopt;
  const std::string_view rest = trim(line.substr(close + 1));
  if (!rest.empty() && rest != "\r" && rest.front() != '#') return std::nullopt;
  return std::pair(open, close + 1);
}

}  // namespace

Result<> check_user_file_name(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '_' || c == '-';
  });
  if (plain && !name.empty() && name.size() <= user_file_name_bytes_max && name.front() != '.')
    return {};
  return fail(
      ErrorKind::invalid, "name a user " + shown(name),
      fmt::format("allowed are 1 to {} of a-z, 0-9, '.', '_' and '-', not starting with a dot",
                  user_file_name_bytes_max));
}

std::string user_directory_path(const std::string& configuration_path) {
  return resolve_path(directory_of(configuration_path), "users.d");
}

std::string user_file_path(const std::string& configuration_path, std::string_view name) {
  return fmt::format("{}/{}.toml", user_directory_path(configuration_path), name);
}

std::string render_user_file(const UserSettings& user) {
  std::string text =
      "# Written by `postern user`; may be edited, then `postern reload`.\n[[user]]\n";
  text += fmt::format("name = {}\n", quote_toml(user.name));
  text += fmt::format("password = {}\n", quote_toml(user.verifier));
  text += fmt::format("senders = {}\n", quoted_list(user.senders));
  text += fmt::format("recipients = {}\n", quoted_list(user.recipients));
  if (!user.addresses.empty()) text += fmt::format("addresses = {}\n", quoted_list(user.addresses));
  if (user.owner) text += fmt::format("owner = {}\n", quote_toml(*user.owner));
  return text;
}

Result<std::string> replace_password(std::string_view text, const std::string& path,
                                     std::string_view name, std::string_view verifier) {
  const std::string operation = fmt::format("change the password in {}", path);
  Problems problems;
  const auto parsed = parse_toml(text, path, problems);
  if (!parsed) return fail(ErrorKind::invalid, operation, problems.take_sorted().front().text());
  const toml::table* user = find_user(*parsed, name);
  if (user == nullptr) {
    return fail(ErrorKind::not_found, operation, fmt::format("it has no user {}", shown(name)));
  }
  const std::uint32_t line_number = password_line(*user);
  std::size_t start = 0;
  for (std::uint32_t line = 1; line < line_number && start != std::string_view::npos; ++line) {
    start = text.find('\n', start);
    if (start != std::string_view::npos) ++start;
  }
  const bool found = line_number != 0 && start != std::string_view::npos;
  const auto value =
      found ? value_in_line(text.substr(start, text.find('\n', start) - start)) : std::nullopt;
  if (!value) {
    return fail(ErrorKind::unsupported, operation,
                "the user's password does not stand alone on one line as password = \"…\"; write "
                "it so, then "
                "try again");
  }
  std::string changed(text.substr(0, start + value->first));
  changed += quote_toml(verifier);
  changed += text.substr(start + value->second);
  return changed;
}

Result<> write_user_file(const std::string& path, std::string_view text,
                         const std::optional<FileOwner>& owner) {
  const std::string directory = directory_of(path);
  if (::mkdir(directory.c_str(), user_directory_mode) != 0 && errno != EEXIST) {
    return fail_errno("make the directory " + directory, errno);
  }
  return write_file_atomically(path, as_bytes(text), user_file_mode, owner);
}

}  // namespace postern::config
