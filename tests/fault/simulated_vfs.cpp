// The simulated disk as SQLite sees it; see simulated_vfs.hpp.
#include "tests/fault/simulated_vfs.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace postern::fault {

namespace {

struct OpenFile {
  sqlite3_file base;  // first: SQLite knows only this
  SimulatedVfs* vfs;
  FileNumber file;
  std::string path;
  bool is_log;
  bool folder_sync_due;
  std::vector<std::unique_ptr<std::byte[]>> shared;
};

OpenFile& opened(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }

SimulatedDisk& disk_of(sqlite3_file* file) { return opened(file).vfs->disk(); }

int close_file(sqlite3_file* file) {
  std::destroy_at(&opened(file));
  return SQLITE_OK;
}

int read_file(sqlite3_file* file, void* to, int bytes, sqlite3_int64 offset) {
  const std::span<std::byte> octets(static_cast<std::byte*>(to), static_cast<std::size_t>(bytes));
  const std::int64_t got =
      disk_of(file).read(opened(file).file, static_cast<std::uint64_t>(offset), octets);
  if (got < 0) return SQLITE_IOERR_READ;
  if (got == bytes) return SQLITE_OK;
  std::memset(octets.data() + got, 0, octets.size() - static_cast<std::size_t>(got));
  return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
  const ByteView octets(static_cast<const std::byte*>(from), static_cast<std::size_t>(bytes));
  const std::int64_t written =
      disk_of(file).write(opened(file).file, static_cast<std::uint64_t>(offset), octets);
  if (written == bytes) return SQLITE_OK;
  return written >= 0 || written == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

int truncate_file(sqlite3_file* file, sqlite3_int64 bytes) {
  const int code = disk_of(file).truncate(opened(file).file, static_cast<std::uint64_t>(bytes));
  return code < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

int sync_file(sqlite3_file* file, int) {
  OpenFile& of = opened(file);
  if (of.vfs->swallows_sync(of.is_log)) return SQLITE_OK;
  if (of.vfs->disk().sync(of.file) < 0) return SQLITE_IOERR_FSYNC;
  if (of.folder_sync_due) static_cast<void>(of.vfs->disk().sync_folder(folder_of(of.path)));
  of.folder_sync_due = false;
  return SQLITE_OK;
}

int size_of_file(sqlite3_file* file, sqlite3_int64* bytes) {
  const std::int64_t size = disk_of(file).size(opened(file).file);
  if (size < 0) return SQLITE_IOERR_FSTAT;
  *bytes = size;
  return SQLITE_OK;
}

// One process has one connection: there is nobody to lock out.
int lock_file(sqlite3_file*, int) { return SQLITE_OK; }
int check_lock(sqlite3_file*, int* locked) {
  *locked = 0;
  return SQLITE_OK;
}
int control_file(sqlite3_file*, int operation, void* argument) {
  if (operation != SQLITE_FCNTL_MMAP_SIZE) return SQLITE_NOTFOUND;
  *static_cast<sqlite3_int64*>(argument) = 0;  // nothing is ever mapped
  return SQLITE_OK;
}
int sector_bytes(sqlite3_file*) { return 4096; }
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int map_shared(sqlite3_file* file, int page, int bytes, int extend, void volatile** memory) {
  auto& shared = opened(file).shared;
  const auto index = static_cast<std::size_t>(page);
  *memory = nullptr;
  if (index >= shared.size() && extend == 0) return SQLITE_OK;
  while (shared.size() <= index) {
    shared.push_back(std::make_unique<std::byte[]>(static_cast<std::size_t>(bytes)));
  }
  *memory = shared[index].get();
  return SQLITE_OK;
}
int lock_shared(sqlite3_file*, int, int, int) { return SQLITE_OK; }
void shared_barrier(sqlite3_file*) {}
int unmap_shared(sqlite3_file* file, int) {
  opened(file).shared.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods* methods() {
  static const sqlite3_io_methods table = {2,
                                           close_file,
                                           read_file,
                                           write_file,
                                           truncate_file,
                                           sync_file,
                                           size_of_file,
                                           lock_file,
                                           lock_file,
                                           check_lock,
                                           control_file,
                                           sector_bytes,
                                           characteristics,
                                           map_shared,
                                           lock_shared,
                                           shared_barrier,
                                           unmap_shared,
                                           nullptr,
                                           nullptr};
  return &table;
}

SimulatedVfs& owner(sqlite3_vfs* vfs) { return *static_cast<SimulatedVfs*>(vfs->pAppData); }

int open_file(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
  file->pMethods = nullptr;
  if (name == nullptr) return SQLITE_CANTOPEN;  // temporary files: temp_store is memory
  SimulatedDisk& disk = owner(vfs).disk();
  std::int64_t number = disk.open(name);
  const bool is_new = number == -ENOENT && (flags & SQLITE_OPEN_CREATE) != 0;
  if (is_new) number = disk.create(name, false);
  if (number < 0) return number == -ENOSPC ? SQLITE_FULL : SQLITE_CANTOPEN;
  const bool is_log = (flags & SQLITE_OPEN_WAL) != 0;
  const bool journals = is_log || (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0;
  new (file)
      OpenFile{{methods()},        &owner(vfs), static_cast<FileNumber>(number), name, is_log,
               is_new && journals, {}};
  if (out != nullptr) *out = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  SimulatedDisk& disk = owner(vfs).disk();
  const int code = disk.unlink(name);
  if (code == -ENOENT) return SQLITE_IOERR_DELETE_NOENT;
  if (code < 0) return SQLITE_IOERR_DELETE;
  if (sync_folder != 0 && disk.sync_folder(folder_of(name)) < 0) return SQLITE_IOERR_DIR_FSYNC;
  return SQLITE_OK;
}

int access_file(sqlite3_vfs* vfs, const char* name, int flags, int* there) {
  const std::int64_t size = owner(vfs).disk().size(name);
  if (size < 0 && size != -ENOENT) return SQLITE_IOERR_ACCESS;
  // As SQLite's own: an empty file counts as missing.
  *there = flags == SQLITE_ACCESS_EXISTS ? size > 0 : size >= 0;
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* name, int bytes_max, char* path) {
  sqlite3_snprintf(bytes_max, path, "%s", name);
  return SQLITE_OK;
}

int sleep_not(sqlite3_vfs*, int microseconds) { return microseconds; }

int current_time(sqlite3_vfs*, sqlite3_int64* milliseconds) {
  *milliseconds = sqlite3_int64{212'000'000'000'000};
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

SimulatedVfs::SimulatedVfs(SimulatedDisk& disk, Mutant mutant, std::uint64_t seed)
    : disk_(&disk),
      mutant_(mutant),
      name_(fmt::format("simulated-{}", static_cast<const void*>(this))) {
  vfs_.iVersion = 2;
  vfs_.szOsFile = sizeof(OpenFile);
  vfs_.mxPathname = 512;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = open_file;
  vfs_.xDelete = delete_file;
  vfs_.xAccess = access_file;
  vfs_.xFullPathname = full_path;
  vfs_.xSleep = sleep_not;
  vfs_.xGetLastError = last_error;
  vfs_.xCurrentTimeInt64 = current_time;
  sqlite3_vfs_register(&vfs_, 0);
  // SQLite then takes its random numbers (the log's salts) from this and not from a VFS; 0 would
  // mean no seed.
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed % 1'000'000) + 1, nullptr);
}

SimulatedVfs::~SimulatedVfs() { sqlite3_vfs_unregister(&vfs_); }

bool SimulatedVfs::swallows_sync(bool of_log) const {
  if (mutant_ == Mutant::synchronous_off) return true;
  return mutant_ == Mutant::synchronous_normal && of_log && committing_;
}

}  // namespace postern::fault
