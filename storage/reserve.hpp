// Room on the medium that is kept for finishing what is queued: a file that holds nothing.
//
// Promise: while held(), the file's room is really taken (allocated or written, never sparse) and
// synced, so that another program that fills the medium to its last octet leaves it alone;
// give_up() sets it free for the outcomes of deliveries and for copying the log back. Sharp edge:
// give_up() is for the moment when the medium was found full, and not before: room set free early
// is room that the other program takes.
#pragma once

#include <cstdint>
#include <string>

#include "relay/base/error.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

// The log until it is copied back (8 MiB) and one batch (4 MiB), and as much again for the database
// that they are copied into.
inline constexpr std::uint64_t reserve_bytes = std::uint64_t{24} * 1024 * 1024;

class Reserve {
 public:
  // Held from the beginning where an earlier life left it. `files` must outlive this.
  Reserve(std::string folder, SpoolFiles& files);

  [[nodiscard]] bool held() const { return held_; }
  // Makes it, or makes sure of what an earlier life left. Success without holding it: there is no
  // room. An Error: the medium failed.
  [[nodiscard]] Result<> take();
  // True when that set room free.
  [[nodiscard]] bool give_up();

 private:
  [[nodiscard]] int fill(int fd);
  [[nodiscard]] int write_all(int fd);

  std::string folder_;
  std::string path_;
  SpoolFiles* files_;
  bool held_;
};

}  // namespace postern::storage
