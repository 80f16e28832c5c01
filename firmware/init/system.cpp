// Small helpers of both programs of the image; see the header.
#include "firmware/init/system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace postern::firmware {

std::optional<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string content;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 || content.size() > file_bytes_max) {
      ::close(fd);
      return std::nullopt;
    }
    if (count == 0) break;
    content.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(fd);
  return content;
}

bool write_file(const std::string& path, std::string_view content, unsigned mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return false;
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL;  // sysfs and procfs have no sync
  return ::close(fd) == 0 && content.empty() && synced;
}

bool replace_file(const std::string& path, std::string_view content) {
  const std::string fresh = path + ".new";
  return write_file(fresh, content, 0600) && ::rename(fresh.c_str(), path.c_str()) == 0;
}

std::vector<std::string> directory_names(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory)) {
    if (names.size() == directory_names_max) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(directory);
  std::ranges::sort(names);
  return names;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string with_carriage_returns(std::string_view lines) {
  std::string text;
  for (const char c : lines) {
    if (c == '\n') text += '\r';
    text += c;
  }
  return text;
}

std::int64_t number_in(std::string_view digits) {
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::optional<std::string> parameter(std::string_view command_line, std::string_view name) {
  for (const std::string_view word : split(trimmed(command_line), ' ')) {
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=') {
      return std::string(word.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

std::vector<std::string> find_partitions(const std::string& name, const std::string& disk,
                                         const std::string& sys) {
  std::vector<std::string> devices;
  for (const std::string& block : directory_names(sys + "/class/block")) {
    if (!disk.empty() && disk_of(block, sys) != disk) continue;
    const auto facts = read_file(sys + "/class/block/" + block + "/uevent");
    if (facts && ("\n" + *facts).contains("\nPARTNAME=" + name + "\n"))
      devices.push_back("/dev/" + block);
  }
  return devices;
}

std::string find_partition(const std::string& name, const std::string& disk,
                           const std::string& sys) {
  const auto devices = find_partitions(name, disk, sys);
  return devices.empty() ? std::string() : devices.front();
}

std::string device_path(const std::string& block, const std::string& sys) {
  char resolved[PATH_MAX];
  if (::realpath((sys + "/class/block/" + block).c_str(), resolved) == nullptr) return {};
  return resolved;
}

std::string disk_of(const std::string& block, const std::string& sys) {
  std::string path = device_path(block, sys);
  if (path.empty()) return {};
  if (::access((path + "/partition").c_str(), F_OK) == 0) path.resize(path.rfind('/'));
  return path.substr(path.rfind('/') + 1);
}

std::string own_disk(const std::string& sys) {
  for (const std::string& block : directory_names(sys + "/class/block/dm-0/slaves"))
    return disk_of(block, sys);
  return {};
}

void say(std::string_view sentence) {
  const std::string line = "postern: " + std::string(sentence) + "\r\n";
  const std::string active = read_file("/sys/class/tty/console/active").value_or("console");
  for (const std::string_view name : split(trimmed(active), ' ')) {
    const std::string path = "/dev/" + std::string(name);
    const int fd = ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    // A console that takes nothing must not stop the box.
    const ssize_t ignored = ::write(fd, line.data(), line.size());
    static_cast<void>(ignored);
    ::close(fd);
  }
}

void say_lines(std::string_view text) {
  for (const std::string_view line : split(text, '\n')) say(line);
}

void say_errno(std::string_view what, int error_number) {
  say(std::string(what) + ": " + std::strerror(error_number));
}

}  // namespace postern::firmware
