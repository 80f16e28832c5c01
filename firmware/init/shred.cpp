// Files that held a secret; see the header.
#include "firmware/init/shred.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr off_t piece_bytes = off_t{1} << 20;

// Opening it with O_TRUNC would give its blocks back as they are.
bool overwrite(const std::string& path, const std::function<void()>& meanwhile) {
  struct stat facts{};
  const int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
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

void note(const std::string& what, Shredding& shredding) {
  const int error_number = errno;
  say_errno(what, error_number);
  shredding.failed.push_back(what + ": " + std::strerror(error_number));
}

}  // namespace

void shred(const std::string& path, Shredding& shredding) {
  if (!overwrite(path, shredding.meanwhile)) note("could not overwrite " + path, shredding);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) note("could not remove " + path, shredding);
}

void shred(const std::string& path) {
  Shredding shredding;
  shred(path, shredding);
}

void shred_tree(const std::string& path, Shredding& shredding) {
  shredding.meanwhile();
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) {
    if (errno != ENOENT) note("could not examine " + path, shredding);
    return;
  }
  if (S_ISDIR(facts.st_mode)) {
    const std::size_t failed = shredding.failed.size();
    // A part of the names at a time (directory_names_max).
    for (auto names = directory_names(path); !names.empty() && shredding.failed.size() == failed;
         names = directory_names(path)) {
      for (const std::string& name : names) shred_tree(path + "/" + name, shredding);
    }
    if (::rmdir(path.c_str()) != 0) note("could not remove " + path, shredding);
  } else if (S_ISREG(facts.st_mode) && !path.ends_with(".body")) {
    shred(path, shredding);
  } else if (::unlink(path.c_str()) != 0) {
    note("could not remove " + path, shredding);
  }
}

void shred_named(const std::string& path, const std::string& name, Shredding& shredding) {
  shredding.meanwhile();
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) return;
  if (S_ISDIR(facts.st_mode)) {
    for (const std::string& inner : directory_names(path))
      shred_named(path + "/" + inner, name, shredding);
  } else if (S_ISREG(facts.st_mode) && path.ends_with("/" + name)) {
    shred(path, shredding);
  }
}

}  // namespace postern::firmware
