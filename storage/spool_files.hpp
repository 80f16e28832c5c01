// Every operation on spool files, in one place, so that a fault test can fail the nth of them.
//
// Promise: thin calls of the system, interrupted ones repeated; no decision is made here. Numbers
// below zero are errno with its sign turned.
#pragma once

#include <cstdint>
#include <string>

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
};

}  // namespace postern::storage
