// Files that held a secret; see the header.
#include "firmware/init/shred.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr off_t piece_bytes = off_t{1} << 20;

// Opening it with O_TRUNC would give its blocks back as they are.
bool overwrite(const std::string& path, const std::function<void()>& meanwhile) {
  struct stat facts{};
  const int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  bool good = ::fstat(fd, &facts) == 0;
  const std::array<char, 4096> zeros{};
  for (off_t at = 0; good && at < facts.st_size;) {
    const auto rest = static_cast<std::size_t>(facts.st_size - at);
    const ssize_t count = ::write(fd, zeros.data(), std::min(rest, zeros.size()));
    good = count > 0 || (count < 0 && errno == EINTR);
    if (count > 0) at += count;
    if (at % piece_bytes != 0) continue;
    good = ::fdatasync(fd) == 0 && good;
    meanwhile();
  }
  good = ::fsync(fd) == 0 && good;
  return ::close(fd) == 0 && good;
}

}  // namespace

void shred(const std::string& path, const std::function<void()>& meanwhile) {
  if (!overwrite(path, meanwhile)) say_errno("could not overwrite " + path, errno);
  if (::unlink(path.c_str()) != 0) say_errno("could not remove " + path, errno);
}

void shred_tree(const std::string& path, const std::function<void()>& meanwhile) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) return;
  if (S_ISDIR(facts.st_mode)) {
    for (const std::string& name : directory_names(path)) shred_tree(path + "/" + name, meanwhile);
    if (::rmdir(path.c_str()) != 0) say_errno("could not remove " + path, errno);
  } else if (S_ISREG(facts.st_mode) && !path.ends_with(".body")) {
    shred(path, meanwhile);
  } else if (::unlink(path.c_str()) != 0) {
    say_errno("could not remove " + path, errno);
  }
}

}  // namespace postern::firmware
