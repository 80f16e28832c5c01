// Whose the files are that this command writes.
//
// Promise: run by root, a file or directory made for the relay is given to the relay's user,
// because secret files are of mode 0600 and the relay must read them. That user is the owner of the
// state directory, or before the first start that of users.d when it is not root. Where neither
// tells, or the command runs as somebody else, the report says what to do. Nothing is handed over
// by its name: the directories are the relay's, and what stands there under a name is the relay's
// to choose.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"
#include "relay/base/error.hpp"
#include "relay/base/file.hpp"

namespace postern::tools {

// The relay's user, where something tells; whoever runs this command.
[[nodiscard]] std::optional<FileOwner> relay_owner(const std::string& configuration_path);
// The same where the configuration is not in its place yet.
[[nodiscard]] std::optional<FileOwner> relay_owner_of(const std::string& state_directory,
                                                      const std::string& configuration_path);
// Whose a new file must be, for write_file_atomically(); nothing: who runs this command.
[[nodiscard]] std::optional<FileOwner> owner_of_new_files(const std::string& configuration_path);
// Refused when there is something else than a directory.
[[nodiscard]] Result<> give_directory_to_relay(const std::string& configuration_path,
                                               const std::string& path);

// Adds a warning to the report when posternd may not be able to read what was written into
// `directory`.
void tell_ownership(const std::string& configuration_path, const std::string& directory,
                    Report& report);
// The same where the owner was looked for before the directory was made.
void tell_ownership(const std::optional<FileOwner>& owner, const std::string& directory,
                    Report& report);

}  // namespace postern::tools
