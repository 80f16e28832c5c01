// Handing files to the relay's user; see the header.
#include "ownership.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "relay/config/configuration.hpp"
#include "relay/config/user_file.hpp"

namespace postern::tools {

namespace {

std::optional<FileOwner> owner_of(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return FileOwner{facts.st_uid, facts.st_gid};
}

}  // namespace

std::optional<FileOwner> relay_owner(const std::string& configuration_path) {
  const auto where = config::read_whereabouts(configuration_path);
  return relay_owner_of(where ? where->state_directory : "", configuration_path);
}

std::optional<FileOwner> relay_owner_of(const std::string& state_directory,
                                        const std::string& configuration_path) {
  if (const auto owner = owner_of(state_directory)) return owner;
  // Root's users.d says nothing: this command may have made it.
  const auto owner = owner_of(config::user_directory_path(configuration_path));
  return owner && owner->user != 0 ? owner : std::nullopt;
}

std::optional<FileOwner> owner_of_new_files(const std::string& configuration_path) {
  return ::geteuid() == 0 ? relay_owner(configuration_path) : std::nullopt;
}

Result<> give_directory_to_relay(const std::string& configuration_path, const std::string& path) {
  const auto owner = owner_of_new_files(configuration_path);
  if (!owner) return {};
  const FileDescriptor directory(
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno("open directory " + path, errno);
  if (::fchown(directory.get(), owner->user, owner->group) != 0) {
    return fail_errno("give " + path + " to the relay's user", errno);
  }
  return {};
}

void tell_ownership(const std::string& configuration_path, const std::string& directory,
                    Report& report) {
  tell_ownership(relay_owner(configuration_path), directory, report);
}

void tell_ownership(const std::optional<FileOwner>& owner, const std::string& directory,
                    Report& report) {
  const bool root = ::geteuid() == 0;
  if (owner ? root || owner->user == ::geteuid() : !root) return;
  const std::string told =
      owner ? fmt::format("{} is yours, but posternd runs as user id {}; as root: `chown -R {} {}`",
                          directory, owner->user, owner->user, directory)
            : fmt::format(
                  "the state directory did not exist, so nobody knows which user posternd "
                  "runs as;\n{} belongs to root. Before the start: `chown -R USER {}`",
                  directory, directory);
  report.json["owner_unknown"] = !owner;
  report.warning += (report.warning.empty() ? "" : "\n") + told;
}

}  // namespace postern::tools
