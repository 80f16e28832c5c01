// The state directory; see state_directory.hpp.
#include "storage/state_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace postern::storage {

namespace {

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<> check_owner_and_mode(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno("examine " + path, errno);
  const std::string operation = "use state directory " + path;
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorKind::denied, operation, "it is no directory; choose another or move it away");
  }
  if (status.st_uid != ::geteuid()) {
    return fail(ErrorKind::denied, operation,
                fmt::format("it belongs to user {} and the daemon runs as user {}; run as that "
                            "user or chown the directory",
                            status.st_uid, ::geteuid()));
  }
  if ((status.st_mode & 077) != 0) {
    return fail(ErrorKind::denied, operation,
                fmt::format("its mode is {:o} and it holds people's mail; run: chmod 700 {}",
                            status.st_mode & 07777, path));
  }
  return {};
}

}  // namespace

Result<> make_private_directory(const std::string& path, SpoolFiles& files) {
  const int made = files.make_folder(path);
  if (made < 0 && made != -EEXIST) return fail_errno("make directory " + path, -made);
  // Also where it was there already: an earlier start may have made it and died before this sync.
  const std::string parent = parent_of(path);
  const int synced = files.sync_folder(parent);
  if (synced >= 0) return {};
  // Somebody else made it in a folder that we may not read: then it is theirs to sync.
  if (made == -EEXIST && (synced == -EACCES || synced == -EPERM)) return {};
  return fail_errno("sync directory " + parent, -synced);
}

Result<FileDescriptor> claim_state_directory(const std::string& path, SpoolFiles& files) {
  if (auto made = make_private_directory(path, files); !made) return std::unexpected(made.error());
  if (auto good = check_owner_and_mode(path); !good) return std::unexpected(good.error());

  return lock_state_directory(path);
}

Result<FileDescriptor> lock_state_directory(const std::string& path) {
  const std::string lock_path = path + "/lock";
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno("open " + lock_path, errno);
  // Root's command may be who made it, and then it must not keep the daemon out.
  struct stat status{}, facts{};
  if (::geteuid() == 0 && ::stat(path.c_str(), &status) == 0) {
    if (::fstat(lock.get(), &facts) != 0) return fail_errno("examine " + lock_path, errno);
    // A second name of another's file is not ours to give away.
    if (!S_ISREG(facts.st_mode) || facts.st_nlink != 1) {
      return fail(ErrorKind::invalid, "lock " + lock_path,
                  "it is no file of its own (a second name of another, perhaps); take it away");
    }
    if (::fchown(lock.get(), status.st_uid, status.st_gid) != 0)
      return fail_errno("change the owner of " + lock_path, errno);
  }
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno("lock " + lock_path, errno);
    return fail(ErrorKind::busy, "lock " + lock_path,
                "another Postern daemon uses this state directory; stop it, or give this one a "
                "state directory of its own");
  }
  return lock;
}

}  // namespace postern::storage
