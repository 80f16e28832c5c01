// Bounded reading of a drop; see the header.
#include "firmware/init/drop_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

using Read = std::expected<std::string, std::string>;

Read read_regular(const std::string& path, const std::string& name) {
  // O_NONBLOCK: a pipe under that name would otherwise hold the box up.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return std::unexpected(name + " cannot be read: " + std::strerror(errno));
  struct stat facts{};
  std::string content, problem;
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    problem = name + " is no regular file";
  } else if (facts.st_size > static_cast<off_t>(drop_file_bytes_max)) {
    problem = name + " is larger than 1 MiB, which nothing of a configuration is";
  } else {
    content.resize(static_cast<std::size_t>(facts.st_size));
    for (std::size_t at = 0; at < content.size() && problem.empty();) {
      const ssize_t count = ::read(fd, content.data() + at, content.size() - at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) problem = name + " cannot be read to its end";
      if (count > 0) at += static_cast<std::size_t>(count);
    }
  }
  ::close(fd);
  if (!problem.empty()) return std::unexpected(problem);
  return content;
}

}  // namespace

DropFile::~DropFile() { ::explicit_bzero(content.data(), content.size()); }

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= drop_name_bytes_max && name.front() != '.' &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "._-+@") == std::string_view::npos;
}

std::expected<std::vector<DropFile>, std::string> read_drop(const std::string& place) {
  std::vector<std::string> names = {drop_main_file};
  for (const std::string directory : drop_directories) {
    for (const std::string& name : directory_names(place + "/" + directory)) {
      if (name.starts_with('.')) continue;
      if (!is_plain_name(name)) {
        return std::unexpected("a file in " + directory +
                               " has a name with other characters than letters, digits and . _ - "
                               "+ @, or too long a one");
      }
      names.push_back(directory + "/" + name);
    }
    if (names.size() > drop_files_max)
      return std::unexpected("there are more than 1000 files, which no configuration has");
  }
  std::vector<DropFile> files;
  std::size_t bytes = 0;
  for (const std::string& name : names) {
    Read content = read_regular(place + "/" + name, name);
    if (!content) return std::unexpected(content.error());
    bytes += content->size();
    if (bytes > drop_bytes_max)
      return std::unexpected("the files are larger than 8 MiB in all, which no configuration is");
    files.emplace_back(name, std::move(*content));
  }
  return files;
}

}  // namespace postern::firmware
