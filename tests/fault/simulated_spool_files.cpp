// The store's file operations on the simulated disk; see simulated_spool_files.hpp.
#include "tests/fault/simulated_spool_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace postern::fault {

namespace {

bool in_spool(const std::string& path) { return path.find("/spool") != std::string::npos; }

}  // namespace

int SimulatedSpoolFiles::descriptor(std::int64_t file, bool is_in_spool) {
  if (file < 0) return static_cast<int>(file);
  const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  opened_[fd] = {static_cast<FileNumber>(file), 0, is_in_spool};
  return fd;
}

int SimulatedSpoolFiles::create(const std::string& path) {
  return descriptor(disk_->create(path, true), in_spool(path));
}

std::int64_t SimulatedSpoolFiles::write(int fd, ByteView octets) {
  Opened& opened = opened_.at(fd);
  const std::int64_t written = disk_->write(opened.file, opened.written, octets);
  if (written > 0) opened.written += static_cast<std::uint64_t>(written);
  return written;
}

int SimulatedSpoolFiles::sync(int fd) {
  const Opened& opened = opened_.at(fd);
  if (mutant_ == Mutant::spool_file_unsynced && opened.in_spool) return 0;
  return disk_->sync(opened.file);
}

int SimulatedSpoolFiles::rename(const std::string& from, const std::string& to) {
  return disk_->rename(from, to);
}

int SimulatedSpoolFiles::unlink(const std::string& path) { return disk_->unlink(path); }

int SimulatedSpoolFiles::sync_folder(const std::string& path) {
  if (mutant_ == Mutant::spool_folder_unsynced && in_spool(path)) return 0;
  return disk_->sync_folder(path);
}

Result<std::uint64_t> SimulatedSpoolFiles::free_bytes(const std::string&) {
  return std::uint64_t{1} << 30;
}

int SimulatedSpoolFiles::make_folder(const std::string& path) { return disk_->make_folder(path); }

int SimulatedSpoolFiles::make_file(const std::string& path) {
  const std::int64_t made = disk_->create(path, false);
  return made < 0 ? static_cast<int>(made) : 0;
}

int SimulatedSpoolFiles::open_for_reading(const std::string& path) {
  return descriptor(disk_->open(path), in_spool(path));
}

int SimulatedSpoolFiles::open_for_rewriting(const std::string& path) {
  return descriptor(disk_->open(path), in_spool(path));
}

std::int64_t SimulatedSpoolFiles::read_at(int fd, std::uint64_t offset,
                                          std::span<std::byte> octets) {
  return disk_->read(opened_.at(fd).file, offset, octets);
}

std::int64_t SimulatedSpoolFiles::write_at(int fd, std::uint64_t offset, ByteView octets) {
  if (mutant_ == Mutant::log_not_renewed) return static_cast<std::int64_t>(octets.size());
  return disk_->write(opened_.at(fd).file, offset, octets);
}

// Room that holds nothing: an octet stands for a MiB of it, as copies of it would make lives slow.
int SimulatedSpoolFiles::allocate(int fd, std::uint64_t bytes) {
  const Bytes room(bytes >> 20);
  const FileNumber file = opened_.at(fd).file;
  const std::int64_t size = disk_->size(file);
  if (size < 0 || static_cast<std::uint64_t>(size) >= room.size()) {
    return static_cast<int>(std::min<std::int64_t>(size, 0));
  }
  const std::int64_t written = disk_->write(file, 0, room);
  if (written < 0) return static_cast<int>(written);
  return static_cast<std::size_t>(written) == room.size() ? 0 : -ENOSPC;
}

std::int64_t SimulatedSpoolFiles::size(const std::string& path) { return disk_->size(path); }

int SimulatedSpoolFiles::list(const std::string& path, std::vector<std::string>& names) {
  return disk_->list(path, names);
}

int SimulatedSpoolFiles::link(const std::string&, const std::string&) { return -EOPNOTSUPP; }

int SimulatedSpoolFiles::remove_folder(const std::string&) { return -ENOENT; }

}  // namespace postern::fault
