// The store's file operations on the simulated disk.
//
// Sharp edge: the descriptors are real ones of /dev/null, because their owner closes them.
#pragma once

#include <map>

#include "storage/spool_files.hpp"
#include "tests/fault/mutant.hpp"
#include "tests/fault/simulated_disk.hpp"

namespace postern::fault {

class SimulatedSpoolFiles : public storage::SpoolFiles {
 public:
  SimulatedSpoolFiles(SimulatedDisk& disk, Mutant mutant) : disk_(&disk), mutant_(mutant) {}

  int create(const std::string& path) override;
  std::int64_t write(int fd, ByteView octets) override;
  int sync(int fd) override;
  int rename(const std::string& from, const std::string& to) override;
  int unlink(const std::string& path) override;
  int sync_folder(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  int make_folder(const std::string& path) override;
  int make_file(const std::string& path) override;
  int open_for_reading(const std::string& path) override;
  int open_for_rewriting(const std::string& path) override;
  std::int64_t read_at(int fd, std::uint64_t offset, std::span<std::byte> octets) override;
  std::int64_t write_at(int fd, std::uint64_t offset, ByteView octets) override;
  int allocate(int fd, std::uint64_t bytes) override;
  std::int64_t size(const std::string& path) override;
  int list(const std::string& path, std::vector<std::string>& names) override;
  // Backups are tested on the real disk.
  int link(const std::string& from, const std::string& to) override;
  int remove_folder(const std::string& path) override;

 private:
  struct Opened {
    FileNumber file = 0;
    std::uint64_t written = 0;
    bool in_spool = false;
  };
  [[nodiscard]] int descriptor(std::int64_t file, bool in_spool);

  SimulatedDisk* disk_;
  Mutant mutant_;
  std::map<int, Opened> opened_;
};

}  // namespace postern::fault
