// The simulated disk as SQLite sees it: a VFS, registered while the object lives.
//
// Promise: it does what SQLite's own VFS for Unix does and no more: a new log's or journal's folder
// is synced with its first sync (and a failure of that is not told), a deletion syncs the folder
// only when asked, an octet is never damaged by the writing of its neighbour. SQLite's random
// numbers follow from the seed.
#pragma once

#include <sqlite3.h>

#include <string>

#include "tests/fault/mutant.hpp"
#include "tests/fault/simulated_disk.hpp"

namespace postern::fault {

class SimulatedVfs {
 public:
  SimulatedVfs(SimulatedDisk& disk, Mutant mutant, std::uint64_t seed);
  ~SimulatedVfs();
  SimulatedVfs(const SimulatedVfs&) = delete;
  SimulatedVfs& operator=(const SimulatedVfs&) = delete;
  [[nodiscard]] const char* name() const { return name_.c_str(); }

  // Told by the client, for the mutant that syncs nothing at a commit.
  void set_committing(bool committing) { committing_ = committing; }
  [[nodiscard]] bool swallows_sync(bool of_log) const;
  [[nodiscard]] SimulatedDisk& disk() { return *disk_; }

 private:
  SimulatedDisk* disk_;
  Mutant mutant_;
  std::string name_;
  bool committing_ = false;
  sqlite3_vfs vfs_{};
};

}  // namespace postern::fault
