// The few file operations the daemon needs outside its storage, each with one clear error.
//
// Promise: reads are bounded; writes of whole files are atomic (temporary name, write, sync,
// rename, sync of the directory) and keep the mode asked for. Sharp edge: none of these belongs on
// a loop thread while clients wait.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "relay/base/error.hpp"
#include "relay/base/secret.hpp"

namespace postern {

// Owns a file descriptor and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// The whole file, refused when it is longer than bytes_max or no regular file.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// A file's text with whose it is and who may open it, both told by the descriptor that was read: a
// swap of the name between check and use changes nothing.
struct FileWithFacts {
  std::string text;
  unsigned mode = 0;  // the permission bits
  unsigned owner = 0;
  unsigned group = 0;
};
[[nodiscard]] Result<FileWithFacts> read_file_with_facts(const std::string& path,
                                                         std::size_t bytes_max);

// As read_file, and refused (ErrorKind::denied) when group or others can read or write it, or when
// it belongs neither to this process's user nor to root (root itself may read anybody's). Directly
// in `credentials_directory` root's files (group root) may have mode 0440: systemd from 254 on lets
// the unit's user at them by an access list, which shows as the group's bits. The directory must be
// root's or the reader's and closed to everybody else's writing; symbolic links are not followed.
[[nodiscard]] Result<Secret> read_secret_file(const std::string& path, std::size_t bytes_max,
                                              const std::string& credentials_directory = {});

struct FileOwner {
  unsigned user;
  unsigned group;
};
// With `owner` the file is that owner's before it has its name: who may write into the directory
// could put something else in its place, and a change of owner by name would hand that away.
[[nodiscard]] Result<> write_file_atomically(const std::string& path, ByteView content,
                                             unsigned mode,
                                             const std::optional<FileOwner>& owner = std::nullopt);
[[nodiscard]] Result<> sync_directory(const std::string& path);

}  // namespace postern
