// Handing files to the relay's user; see the header.
#include "ownership.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "relay/config/configuration.hpp"
#include "relay/config/user_file.hpp"

namespace postern::tools {

namespace {

struct Owner {
  uid_t user;
  gid_t group;
};

std::optional<Owner> owner_of(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return Owner{facts.st_uid, facts.st_gid};
}

std::optional<Owner> relay_owner(const std::string& configuration_path) {
  if (const auto where = config::read_whereabouts(configuration_path)) {
    if (const auto owner = owner_of(where->state_directory)) return owner;
  }
  // Root's users.d says nothing: this command may have made it.
  const auto owner = owner_of(config::user_directory_path(configuration_path));
  return owner && owner->user != 0 ? owner : std::nullopt;
}

}  // namespace

Result<> give_to_relay(const std::string& configuration_path, const std::string& path) {
  if (::geteuid() != 0) return {};
  const auto owner = relay_owner(configuration_path);
  if (!owner) return {};
  // lchown: a link put in the file's place must not hand away something else.
  if (::lchown(path.c_str(), owner->user, owner->group) != 0) {
    return fail_errno("give " + path + " to the relay's user", errno);
  }
  return {};
}

void tell_ownership(const std::string& configuration_path, const std::string& directory,
                    Report& report) {
  const auto owner = relay_owner(configuration_path);
  const bool root = ::geteuid() == 0;
  if (owner ? root || owner->user == ::geteuid() : !root) return;
  const std::string told =
      owner ? fmt::format("{} is yours, but posternd runs as user id {}; as root: `chown -R {} {}`",
                          directory, owner->user, owner->user, directory)
            : fmt::format(
                  "the state directory does not exist, so nobody knows which user posternd "
                  "runs as;\n{} belongs to root. Before the start: `chown -R USER {}`",
                  directory, directory);
  report.json["owner_unknown"] = !owner;
  report.warning += (report.warning.empty() ? "" : "\n") + told;
}

}  // namespace postern::tools
