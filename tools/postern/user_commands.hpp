// `postern user …`: the devices and programs that may submit mail, one file each under users.d.
//
// Promise: works without a running relay; asks a running one to reload. A password is printed once,
// when it was made here, and kept as a verifier only. Users that stand in the main file are shown
// and never changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "output.hpp"

namespace postern::tools {

struct UserAddition {
  std::string name;
  std::vector<std::string> senders;
  std::vector<std::string> recipients = {"*"};
  std::vector<std::string> addresses;
  std::optional<std::string> owner;
  bool password_from_stdin = false;
};

[[nodiscard]] Outcome<> add_user(const std::string& configuration_path,
                                 const UserAddition& addition);
[[nodiscard]] Outcome<> list_users(const std::string& configuration_path);
[[nodiscard]] Outcome<> remove_user(const std::string& configuration_path, const std::string& name);
[[nodiscard]] Outcome<> change_password(const std::string& configuration_path,
                                        const std::string& name, bool password_from_stdin);

}  // namespace postern::tools
