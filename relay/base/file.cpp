// File descriptors, bounded reads and atomic writes.
#include "relay/base/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace postern {
namespace {

// Opened without blocking: a FIFO put in the place of a file must not hang the daemon.
Result<FileDescriptor> open_for_reading(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return fail_errno("open " + path, errno);
  return file;
}

Result<struct stat> status_of_regular(const FileDescriptor& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("examine " + path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid, "read " + path, "it is not a regular file");
  }
  return status;
}

// Reads up to the end into `buffer`, which is as long as may be taken and one octet more; the
// count.
Result<std::size_t> read_bounded(const FileDescriptor& file, const std::string& path,
                                 std::span<std::byte> buffer) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t count = ::read(file.get(), buffer.data() + filled, buffer.size() - filled);
    if (count < 0) {
      if (errno == EINTR) continue;
      return fail_errno("read " + path, errno);
    }
    if (count == 0) return filled;
    filled += static_cast<std::size_t>(count);
  }
  return fail(ErrorKind::invalid, "read " + path,
              fmt::format("it is longer than {} octets", buffer.size() - 1));
}

Result<> write_all(const FileDescriptor& file, const std::string& path, ByteView content) {
  while (!content.empty()) {
    const ssize_t count = ::write(file.get(), content.data(), content.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return fail_errno("write " + path, errno);
    }
    content = content.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Whether the open file is one that root handed over in this directory. The name must still lead
// to it without a symbolic link, so that only who may write there could have put it there.
bool is_credential(const struct stat& file, const std::string& path, const std::string& directory) {
  if (directory.empty() || directory_of(path) != directory) return false;
  const FileDescriptor opened(
      ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat place{};
  struct stat entry{};
  const std::string name = path.substr(path.rfind('/') + 1);
  return opened && ::fstat(opened.get(), &place) == 0 &&
         ::fstatat(opened.get(), name.c_str(), &entry, AT_SYMLINK_NOFOLLOW) == 0 &&
         (place.st_uid == 0 || place.st_uid == ::geteuid()) &&
         (place.st_mode & (S_IWGRP | S_IWOTH)) == 0 && entry.st_dev == file.st_dev &&
         entry.st_ino == file.st_ino && file.st_uid == 0 && file.st_gid == 0;
}

// The buffer for a file of this size: never beyond the bound, and one octet more to see the end.
Result<std::size_t> buffer_size(const struct stat& status, const std::string& path,
                                std::size_t bytes_max) {
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > bytes_max) {
    return fail(ErrorKind::invalid, "read " + path,
                fmt::format("it is {} octets long; at most {} are allowed", size, bytes_max));
  }
  // /proc and /sys say 0 for files that hold something: those get one page.
  constexpr std::size_t unknown_size = 4096;
  return std::min(size == 0 ? unknown_size : size, bytes_max) + 1;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void FileDescriptor::reset() {
  // close(2) is not repeated on EINTR: on Linux the descriptor is gone either way.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  auto file = read_file_with_facts(path, bytes_max);
  if (!file) return std::unexpected(std::move(file).error());
  return std::move(file->text);
}

Result<FileWithFacts> read_file_with_facts(const std::string& path, std::size_t bytes_max) {
  auto file = open_for_reading(path);
  if (!file) return std::unexpected(std::move(file).error());
  const auto status = status_of_regular(*file, path);
  if (!status) return std::unexpected(status.error());
  const auto room = buffer_size(*status, path, bytes_max);
  if (!room) return std::unexpected(room.error());
  std::string content(*room, '\0');
  const auto count =
      read_bounded(*file, path, std::as_writable_bytes(std::span(content.data(), content.size())));
  if (!count) return std::unexpected(count.error());
  content.resize(*count);
  return FileWithFacts{std::move(content), status->st_mode & 07777U, status->st_uid,
                       status->st_gid};
}

Result<Secret> read_secret_file(const std::string& path, std::size_t bytes_max,
                                const std::string& credentials_directory) {
  auto file = open_for_reading(path);
  if (!file) return std::unexpected(std::move(file).error());
  // Checked on the open descriptor, so that a swap of the name between check and use changes
  // nothing.
  const auto status = status_of_regular(*file, path);
  if (!status) return std::unexpected(status.error());
  const mode_t others = status->st_mode & (S_IRWXG | S_IRWXO);
  if (others != 0 && !(others == S_IRGRP && is_credential(*status, path, credentials_directory))) {
    return fail(ErrorKind::denied, "read " + path,
                fmt::format("its mode {:o} lets others at a secret; run: chmod 600 {}",
                            status->st_mode & 07777U, path));
  }
  // Root may look: `postern check` runs as root on files of the daemon's user.
  if (status->st_uid != ::geteuid() && status->st_uid != 0 && ::geteuid() != 0) {
    return fail(ErrorKind::denied, "read " + path,
                fmt::format("it belongs to user id {}; it must belong to root or to user id {}",
                            status->st_uid, ::geteuid()));
  }
  const auto room = buffer_size(*status, path, bytes_max);
  if (!room) return std::unexpected(room.error());
  Secret buffer = Secret::of_size(*room);
  const auto count = read_bounded(*file, path, buffer.writable());
  if (!count) return std::unexpected(count.error());
  return Secret(buffer.view().first(*count));
}

Result<> write_file_atomically(const std::string& path, ByteView content, unsigned mode,
                               const std::optional<FileOwner>& owner) {
  // mkostemp makes the name unique and the file 0600, so that nobody reads it before fchmod.
  std::string temporary = path + ".tmp-XXXXXX";
  FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) return fail_errno("create " + temporary, errno);

  Result<> outcome = write_all(file, temporary, content);
  // Before the mode: a change of owner may take bits of it away.
  if (outcome && owner && ::fchown(file.get(), owner->user, owner->group) != 0) {
    outcome = fail_errno("change the owner of " + temporary, errno);
  }
  if (outcome && ::fchmod(file.get(), static_cast<mode_t>(mode)) != 0) {
    outcome = fail_errno("set the mode of " + temporary, errno);
  }
  // Without this sync the rename may reach the disk before the content does: an empty file.
  if (outcome && ::fsync(file.get()) != 0) outcome = fail_errno("sync " + temporary, errno);
  if (outcome && ::rename(temporary.c_str(), path.c_str()) != 0) {
    outcome = fail_errno("rename " + temporary + " to " + path, errno);
  }
  if (!outcome) {
    ::unlink(temporary.c_str());
    return outcome;
  }
  return sync_directory(directory_of(path));
}

Result<> sync_directory(const std::string& path) {
  FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno("open directory " + path, errno);
  if (::fsync(directory.get()) != 0) return fail_errno("sync directory " + path, errno);
  return {};
}

}  // namespace postern
