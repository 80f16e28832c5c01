// The files under users.d that `postern user` writes: one [[user]] table each.
//
// Promise: what render_user_file() makes reads back through the loader as the same user; a file is
// replaced atomically, has mode 0600 and its name can never leave its directory. Only a verifier is
// ever written, no password. Sharp edge: replace_password() changes one line and keeps the rest,
// comments too, so a person's own edits survive; a password written over several lines is refused
// instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/base/file.hpp"
#include "relay/config/problems.hpp"

namespace postern::config {

inline constexpr std::size_t user_file_name_bytes_max = 64;  // shown in tables, typed at printers

struct UserSettings {
  std::string name;
  std::string verifier;  // crypto::PasswordVerifier::text(); left empty by list_users()
  std::vector<std::string> senders;
  std::vector<std::string> recipients;
  std::vector<std::string> addresses;  // empty: anywhere
  std::optional<std::string> owner;
};

// [a-z0-9._-], 1 to 64 characters, not starting with a dot: safe as a file's name and typed at any
// panel.
[[nodiscard]] Result<> check_user_file_name(std::string_view name);
[[nodiscard]] std::string user_directory_path(const std::string& configuration_path);
[[nodiscard]] std::string user_file_path(const std::string& configuration_path,
                                         std::string_view name);

[[nodiscard]] std::string render_user_file(const UserSettings& user);
// The file's text with another verifier for `name`.
[[nodiscard]] Result<std::string> replace_password(std::string_view text, const std::string& path,
                                                   std::string_view name,
                                                   std::string_view verifier);
// Makes the directory (0700) where it is missing.
[[nodiscard]] Result<> write_user_file(const std::string& path, std::string_view text,
                                       const std::optional<FileOwner>& owner = std::nullopt);

struct ListedUser {
  UserSettings settings;
  Place place;  // of the name
  bool in_main_file = false;
  bool alone_in_file = false;  // a file of its own: it can be removed with its file
};

struct UserListing {
  std::vector<ListedUser> users;                           // by file, in its order
  std::vector<std::pair<std::string, Place>> route_users;  // users that a [[route]] names
  std::vector<Problem> problems;  // files that cannot be read or understood

  [[nodiscard]] const ListedUser* find(std::string_view name) const;
};
// The users as the files have them, without checking the rest of the configuration.
[[nodiscard]] Result<UserListing> list_users(const std::string& configuration_path);

}  // namespace postern::config
