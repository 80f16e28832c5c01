// A configuration dropped on the EFI partition or a stick; see storage.hpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <ranges>
#include <system_error>

#include "firmware/init/drop_files.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/shred.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

namespace fs = std::filesystem;

constexpr char queue_directory[] = "/data/queue";
constexpr char users_directory[] = "users.d";
// A relay that was taken over is the same user and could stop the check for ever.
constexpr std::chrono::minutes check_time_max{5};

bool write_for_relay(const std::string& path, const std::string& content) {
  return write_file(path, content, 0600) && ::chmod(path.c_str(), 0600) == 0 &&
         ::chown(path.c_str(), relay_user, relay_user) == 0;
}

bool copy_file(const std::string& from, const std::string& to) {
  const auto content = read_file(from);
  return content && write_for_relay(to, *content);
}

// Users and keys of the configuration in force, which the relay has already judged.
bool copy_directory(const std::string& from, const std::string& to) {
  for (const std::string& name : directory_names(from)) {
    struct stat facts{};
    const std::string file = from + "/" + name;
    if (::lstat(file.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
        !copy_file(file, to + "/" + name))
      return false;
  }
  return true;
}

// What was there and is not in the drop stays: a new postern.toml alone keeps users and keys. But a
// dropped users.d is all of it: who is left out there must not send any more.
bool write_configuration(const std::string& place, const std::vector<DropFile>& files,
                         const std::string& to) {
  std::error_code error;
  fs::remove_all(to, error);
  if (::mkdir(to.c_str(), configuration_directory_mode) != 0) return false;
  const bool users_dropped = ::access((place + "/" + users_directory).c_str(), F_OK) == 0;
  for (const std::string name : drop_directories) {
    const std::string old = std::string(configuration_directory) + "/" + name;
    const bool dropped = std::ranges::any_of(
        files, [&](const DropFile& file) { return file.name.starts_with(name + "/"); });
    if (!dropped && ::access(old.c_str(), F_OK) != 0) continue;
    const std::string part = to + "/" + name;
    if (::mkdir(part.c_str(), configuration_directory_mode) != 0) return false;
    if (users_dropped && name == users_directory) continue;
    if (!copy_directory(old, part)) return false;
  }
  return std::ranges::all_of(files, [&](const DropFile& file) {
    return write_for_relay(to + "/" + file.name, file.content);
  });
}

// Completed by what the box makes itself, then judged by the relay. A queue in another place would
// be forgotten at the next change, or live in memory.
bool is_good(const std::string& directory, const Box& box, const FeedWatchdog& feed,
             std::string& problems) {
  complete_configuration(directory, box, "", feed);
  return run_and_wait({"/usr/sbin/posternd", "--check-config", "--state-directory", queue_directory,
                       "--config", directory + "/" + drop_main_file},
                      relay_user, problems, feed, check_time_max) == 0;
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

void remove_dropped(const std::string& path, std::size_t bytes_max, Shredding& shredding) {
  struct stat facts{};
  const bool of_a_drop = ::lstat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
                         static_cast<std::size_t>(facts.st_size) <= bytes_max;
  shredding.meanwhile();
  if (of_a_drop) return shred(path, shredding);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    say_errno("could not remove " + path, errno);
    shredding.failed.push_back("could not remove " + path);
  }
}

// From here on it is no drop: where the rest is cut short, a part of its users would else be taken
// for all of them. The next look goes on.
void remove_drop(const std::string& place, const FeedWatchdog& feed) {
  Shredding shredding{feed};
  const std::string main_file = place + "/" + drop_main_file, taken = place + "/" + drop_taken_file;
  if (::access(main_file.c_str(), F_OK) == 0 && ::rename(main_file.c_str(), taken.c_str()) != 0)
    say_errno("could not rename " + main_file, errno);
  ::sync();
  // What is larger was no file of a configuration, and no secret.
  shred_drop(place, drop_file_bytes_max, shredding);
  ::unlink((place + "/" + problems_file).c_str());
  ::sync();
}

// Empty when it is in force now, and removed where it was.
std::string problems_of(const Place& place, const Box& box, const FeedWatchdog& feed) {
  const auto files = read_drop(place.path);
  if (!files) return files.error() + "\n";
  const std::string fresh = std::string(configuration_directory) + ".new";
  std::string problems = "the files could not be copied to the data partition; is it full?\n";
  if (write_configuration(place.path, *files, fresh) && is_good(fresh, box, feed, problems)) {
    forget_fixed_settings();  // a power cut from here on must not leave the old address in force
    if (put_in_force(fresh)) {
      remove_drop(place.path, feed);
      return {};
    }
    problems = "the files could not be put in force on the data partition\n";
  }
  std::error_code error;
  fs::remove_all(fresh, error);
  // Nothing would mean that all is well.
  return problems.empty() ? "the check of the configuration ended without a word; try it again\n"
                          : problems;
}

}  // namespace

void shred_drop(const std::string& place, std::size_t bytes_max, Shredding& shredding) {
  for (const char* name : drop_directories) {
    const std::string directory = place + "/" + name;
    for (const std::string& file : directory_names(directory))
      remove_dropped(directory + "/" + file, bytes_max, shredding);
    ::rmdir(directory.c_str());
  }
  remove_dropped(place + "/" + drop_main_file, bytes_max, shredding);
  remove_dropped(place + "/" + drop_taken_file, bytes_max, shredding);
}

DropResult take_drop(const Place& place, const Box& box, const FeedWatchdog& feed) {
  if (::access((place.path + "/" + drop_main_file).c_str(), F_OK) != 0) {
    if (::access((place.path + "/" + drop_taken_file).c_str(), F_OK) == 0) {
      remove_drop(place.path, feed);
      return DropResult::nothing;
    }
    if (::access((place.path + "/" + users_directory).c_str(), F_OK) != 0)
      return DropResult::nothing;
    const std::string alone =
        "users.d is here and postern.toml is not: nothing is taken; bring both\n";
    say(place.name + ": " + alone);
    leave_problems(place, alone);
    return DropResult::nothing;
  }
  const std::string problems = problems_of(place, box, feed);
  if (problems.empty()) {
    const bool left = ::access((place.path + "/" + drop_main_file).c_str(), F_OK) == 0;
    say(std::string("the dropped configuration is in force; it ") +
        (left ? "could not be removed, so remove it from " : "was removed from ") + place.name);
    return DropResult::taken;
  }
  say("the dropped configuration is refused; the one in force, if any, stays:");
  say_lines(problems);
  leave_problems(place, problems);
  return DropResult::refused;
}

}  // namespace postern::firmware
