// A configuration dropped on the EFI partition; see storage.hpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "firmware/init/process.hpp"
#include "firmware/init/shred.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

namespace fs = std::filesystem;

constexpr char main_file[] = "postern.toml";
constexpr std::array directories = {"users.d", "tls", "dkim", "secrets"};
constexpr char problems_file[] = "POSTERN-PROBLEMS.TXT";

bool give(const std::string& path, unsigned mode) {
  return ::chmod(path.c_str(), mode) == 0 && ::chown(path.c_str(), relay_user, relay_user) == 0;
}

bool copy_file(const std::string& from, const std::string& to) {
  const auto content = read_file(from);
  return content && write_file(to, *content, 0600) && give(to, 0600);
}

bool copy_directory(const std::string& from, const std::string& to) {
  if (::mkdir(to.c_str(), 0700) != 0 && errno != EEXIST) return false;
  if (!give(to, 0700)) return false;
  for (const std::string& name : directory_names(from)) {
    struct stat facts{};
    const std::string file = from + "/" + name;
    if (::stat(file.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
        !copy_file(file, to + "/" + name))
      return false;
  }
  return true;
}

// What was there and is not in the drop stays: a new postern.toml alone keeps users and keys.
bool copy_configuration(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::remove_all(to, error);
  if (::mkdir(to.c_str(), 0700) != 0 || !give(to, 0700)) return false;
  for (const char* name : directories) {
    const std::string part = std::string("/") + name;
    for (const std::string& source : {std::string(configuration_directory), from}) {
      struct stat facts{};
      if (::stat((source + part).c_str(), &facts) == 0 && !copy_directory(source + part, to + part))
        return false;
    }
  }
  return copy_file(from + "/" + main_file, to + "/" + main_file);
}

// Completed by what the box makes itself, then judged by the relay.
bool is_good(const std::string& directory, const Box& box, const FeedWatchdog& feed,
             std::string& problems) {
  complete_configuration(directory, box, "", feed);
  return run_and_wait(
             {"/usr/sbin/posternd", "--check-config", "--config", directory + "/" + main_file},
             relay_user, &problems, feed) == 0;
}

// In one step: a power cut leaves the old one or the fresh one in force, never none.
bool put_in_force(const std::string& fresh) {
  const bool first = ::access(configuration_directory, F_OK) != 0;
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, configuration_directory,
                  first ? 0 : RENAME_EXCHANGE) != 0) {
    return false;
  }
  ::sync();
  std::error_code error;
  fs::remove_all(fresh, error);  // the old one
  return true;
}

void shred_drop(const std::string& place) {
  for (const char* name : directories) {
    const std::string directory = place + "/" + name;
    for (const std::string& file : directory_names(directory)) shred(directory + "/" + file);
    ::rmdir(directory.c_str());
  }
  shred(place + "/" + main_file);
  ::unlink((place + "/" + problems_file).c_str());
  ::sync();
}

}  // namespace

DropResult take_drop(const std::string& mounted, const Box& box, const FeedWatchdog& feed) {
  if (::access((mounted + "/" + main_file).c_str(), F_OK) != 0) return DropResult::nothing;
  const std::string fresh = std::string(configuration_directory) + ".new";
  std::string problems = "the files could not be copied to the data partition; is it full?\n";
  if (copy_configuration(mounted, fresh) && is_good(fresh, box, feed, problems) &&
      put_in_force(fresh)) {
    shred_drop(mounted);
    say("the dropped configuration is in force; it was removed from the EFI partition");
    return DropResult::taken;
  }
  std::error_code error;
  fs::remove_all(fresh, error);
  say("the dropped configuration is refused; the one in force, if any, stays:");
  for (const std::string_view line : split(problems, '\n')) say(line);
  if (!write_file(mounted + "/" + problems_file, problems))
    say("its problems could not be written beside it");
  return DropResult::refused;
}

}  // namespace postern::firmware
