// The real file operations; see spool_files.hpp.
#include "storage/spool_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <memory>

#include "relay/base/file.hpp"

namespace postern::storage {

namespace {

int outcome(int code) { return code == 0 ? 0 : -errno; }

bool beyond_any_file(std::uint64_t offset) {
  return offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

int SpoolFiles::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  return fd >= 0 ? fd : -errno;
}

std::int64_t SpoolFiles::write(int fd, ByteView octets) {
  while (true) {
    const ssize_t written = ::write(fd, octets.data(), octets.size());
    if (written >= 0) return written;
    if (errno != EINTR) return -errno;
  }
}

// Not repeated on EINTR either: what a failed sync left behind is unknown.
int SpoolFiles::sync(int fd) { return outcome(::fsync(fd)); }

int SpoolFiles::rename(const std::string& from, const std::string& to) {
  return outcome(std::rename(from.c_str(), to.c_str()));
}

int SpoolFiles::unlink(const std::string& path) { return outcome(::unlink(path.c_str())); }

int SpoolFiles::sync_folder(const std::string& path) {
  const FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return -errno;
  return outcome(::fsync(folder.get()));
}

Result<std::uint64_t> SpoolFiles::free_bytes(const std::string& path) {
  struct statvfs status{};
  if (::statvfs(path.c_str(), &status) != 0) {
    return fail_errno("measure the free room of " + path, errno);
  }
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

int SpoolFiles::make_folder(const std::string& path) {
  return outcome(::mkdir(path.c_str(), 0700));
}

int SpoolFiles::make_file(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return -errno;
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return -errno;
  return S_ISREG(status.st_mode) ? 0 : -EINVAL;
}

int SpoolFiles::open_for_reading(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  return fd >= 0 ? fd : -errno;
}

int SpoolFiles::open_for_rewriting(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  return fd >= 0 ? fd : -errno;
}

std::int64_t SpoolFiles::read_at(int fd, std::uint64_t offset, std::span<std::byte> octets) {
  if (beyond_any_file(offset)) return 0;
  while (true) {
    const ssize_t got = ::pread(fd, octets.data(), octets.size(), static_cast<off_t>(offset));
    if (got >= 0) return got;
    if (errno != EINTR) return -errno;
  }
}

std::int64_t SpoolFiles::write_at(int fd, std::uint64_t offset, ByteView octets) {
  if (beyond_any_file(offset)) return -EFBIG;
  while (true) {
    const ssize_t written = ::pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(offset));
    if (written >= 0) return written;
    if (errno != EINTR) return -errno;
  }
}

int SpoolFiles::allocate(int fd, std::uint64_t bytes) {
  if (beyond_any_file(bytes)) return -EFBIG;
  while (true) {
    if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

std::int64_t SpoolFiles::size(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return -errno;
  return S_ISREG(status.st_mode) ? std::int64_t{status.st_size} : -EINVAL;
}

int SpoolFiles::list(const std::string& path, std::vector<std::string>& names) {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (!folder) return -errno;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    names.emplace_back(entry->d_name);
    errno = 0;
  }
  return -errno;
}

int SpoolFiles::link(const std::string& from, const std::string& to) {
  return outcome(::link(from.c_str(), to.c_str()));
}

int SpoolFiles::remove_folder(const std::string& path) { return outcome(::rmdir(path.c_str())); }

bool SpoolFiles::is_locked(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace postern::storage
