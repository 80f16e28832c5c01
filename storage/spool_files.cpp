// The real spool file operations; see spool_files.hpp.
#include "storage/spool_files.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "relay/base/file.hpp"

namespace postern::storage {

namespace {

int outcome(int code) { return code == 0 ? 0 : -errno; }

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

}  // namespace postern::storage
