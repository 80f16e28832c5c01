// Handing files to the relay's user; see the header.
#include "ownership.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "relay/config/configuration.hpp"

namespace postern::tools {

Result<> give_to_relay(const std::string& configuration_path, const std::string& path) {
  if (::geteuid() != 0) return {};
  const auto where = config::read_whereabouts(configuration_path);
  if (!where) return {};  // without a configuration there is no relay to give it to
  struct stat facts{};
  if (::stat(where->state_directory.c_str(), &facts) != 0) return {};
  // lchown: a link put in the file's place must not hand away something else.
  if (::lchown(path.c_str(), facts.st_uid, facts.st_gid) != 0) {
    return fail_errno("give " + path + " to the relay's user", errno);
  }
  return {};
}

}  // namespace postern::tools
