// Every file operation of the store that is not SQLite's, in one place, so that a fault test can
// fail the nth of them or run the store on a simulated disk.
//
// Promise: thin calls of the system, interrupted ones repeated; no decision is made here. Numbers
// below zero are errno with its sign turned. Descriptors are closed by FileDescriptor.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"

namespace postern::storage {

struct SpoolFiles {
  virtual ~SpoolFiles() = default;
  [[nodiscard]] virtual int create(const std::string& path);          // a descriptor
  [[nodiscard]] virtual std::int64_t write(int fd, ByteView octets);  // octets written
  [[nodiscard]] virtual int sync(int fd);
  [[nodiscard]] virtual int rename(const std::string& from, const std::string& to);
  [[nodiscard]] virtual int unlink(const std::string& path);
  [[nodiscard]] virtual int sync_folder(const std::string& path);
  [[nodiscard]] virtual Result<std::uint64_t> free_bytes(const std::string& path);

  [[nodiscard]] virtual int make_folder(const std::string& path);  // mode 0700
  // The file that is there or an empty one of mode 0600; -EINVAL when it is no regular file.
  [[nodiscard]] virtual int make_file(const std::string& path);
  [[nodiscard]] virtual int open_for_reading(const std::string& path);    // a descriptor
  [[nodiscard]] virtual int open_for_rewriting(const std::string& path);  // for reading as well
  [[nodiscard]] virtual std::int64_t read_at(int fd, std::uint64_t offset,
                                             std::span<std::byte> octets);
  [[nodiscard]] virtual std::int64_t write_at(int fd, std::uint64_t offset, ByteView octets);
  // Takes room for so many octets and makes the file as long; -EOPNOTSUPP where the file system
  // cannot.
  [[nodiscard]] virtual int allocate(int fd, std::uint64_t bytes);
  // Octets of a regular file; -EINVAL when it is something else.
  [[nodiscard]] virtual std::int64_t size(const std::string& path);
  // Appends the names in a folder.
  [[nodiscard]] virtual int list(const std::string& path, std::vector<std::string>& names);

  // A second name for the same octets.
  [[nodiscard]] virtual int link(const std::string& from, const std::string& to);
  [[nodiscard]] virtual int remove_folder(const std::string& path);  // an empty one
  // Whether another process holds a lock (flock(2)) on the file.
  [[nodiscard]] virtual bool is_locked(const std::string& path);
};

}  // namespace postern::storage
