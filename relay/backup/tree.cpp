// Files beneath a directory; see the header.
#include "relay/backup/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "relay/base/bytes.hpp"

namespace postern::backup {

namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

Facts facts_of(const struct stat& status) {
  return {S_ISDIR(status.st_mode), S_ISREG(status.st_mode),
          S_ISLNK(status.st_mode), static_cast<std::uint64_t>(status.st_size),
          status.st_mode & 07777U, FileOwner{status.st_uid, status.st_gid}};
}

// ELOOP and ENOTDIR are what O_NOFOLLOW says to a link.
std::unexpected<Error> fail_at(const std::string& what, const std::string& path, int error_number) {
  if (error_number == ELOOP || error_number == ENOTDIR) {
    return fail(ErrorKind::invalid, what + ' ' + path,
                "there is a link on the way; put the file itself there");
  }
  return fail_errno(what + ' ' + path, error_number);
}

// In the very blocks that hold it: cutting it off would give those back as they are.
Result<> overwrite(const FileDescriptor& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("examine " + path, errno);
  if (status.st_nlink > 1) {
    return fail(ErrorKind::invalid, "overwrite " + path,
                "the file has another name elsewhere and was not touched there");
  }
  constexpr std::size_t piece_bytes = std::size_t{64} * 1024;
  const Bytes zeros(piece_bytes);
  for (off_t at = 0; at < status.st_size;) {
    const auto rest = static_cast<std::size_t>(status.st_size - at);
    const ssize_t count = ::pwrite(file.get(), zeros.data(), std::min(rest, zeros.size()), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail_errno("overwrite " + path, count == 0 ? EIO : errno);
    at += count;
  }
  if (::fsync(file.get()) != 0) return fail_errno("sync " + path, errno);
  return {};
}

}  // namespace

Result<Tree> Tree::open(const std::string& path) {
  FileDescriptor top(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return fail_errno("open directory " + path, errno);
  return Tree(path, std::move(top));
}

Result<FileDescriptor> Tree::open_folder(const std::string& inner) const {
  FileDescriptor folder(::openat(top_.get(), ".", folder_flags));
  for (std::size_t at = 0; folder && at < inner.size();) {
    const std::size_t end = std::min(inner.find('/', at), inner.size());
    folder =
        FileDescriptor(::openat(folder.get(), inner.substr(at, end - at).c_str(), folder_flags));
    at = end + 1;
  }
  if (!folder) return fail_at("open directory", path_of(inner), errno);
  return folder;
}

Result<Tree::Parent> Tree::parent_of(const std::string& inner) const {
  const std::size_t slash = inner.rfind('/');
  auto folder = open_folder(slash == std::string::npos ? "" : inner.substr(0, slash));
  if (!folder) return std::unexpected(folder.error());
  return Parent{std::move(*folder), slash == std::string::npos ? inner : inner.substr(slash + 1)};
}

Result<Facts> Tree::facts(const std::string& inner) const {
  struct stat status{};
  if (inner.empty()) {
    if (::fstat(top_.get(), &status) != 0) return fail_errno("examine " + path_, errno);
    return facts_of(status);
  }
  const auto parent = parent_of(inner);
  if (!parent) return std::unexpected(parent.error());
  if (::fstatat(parent->folder.get(), parent->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("examine " + path_of(inner), errno);
  return facts_of(status);
}

bool Tree::holds(const std::string& inner) const {
  const auto found = facts(inner);
  return found || found.error().kind != ErrorKind::not_found;
}

Result<std::vector<std::string>> Tree::names(const std::string& inner) const {
  std::vector<std::string> names;
  auto opened = open_folder(inner);
  if (!opened) {
    if (opened.error().kind == ErrorKind::not_found) return names;
    return std::unexpected(opened.error());
  }
  const std::unique_ptr<DIR, CloseFolder> folder(::fdopendir(opened->get()));
  if (!folder) return fail_errno("list " + path_of(inner), errno);
  static_cast<void>(opened->release());
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return fail_errno("list " + path_of(inner), errno);
  std::ranges::sort(names);
  return names;
}

Result<FileDescriptor> Tree::open_file(const std::string& inner, bool for_writing) const {
  const auto parent = parent_of(inner);
  if (!parent) return std::unexpected(parent.error());
  // A pipe in the place of a file must not hang us.
  FileDescriptor file(
      ::openat(parent->folder.get(), parent->name.c_str(),
               (for_writing ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) return fail_at("open", path_of(inner), errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno("examine " + path_of(inner), errno);
  if (!S_ISREG(status.st_mode))
    return fail(ErrorKind::invalid, "open " + path_of(inner), "it is no regular file");
  return file;
}

Result<FileDescriptor> Tree::create_file(const std::string& inner) const {
  const auto parent = parent_of(inner);
  if (!parent) return std::unexpected(parent.error());
  FileDescriptor file(::openat(parent->folder.get(), parent->name.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail_errno("make " + path_of(inner), errno);
  return file;
}

Result<> Tree::make_folder(const std::string& inner) const {
  const auto parent = parent_of(inner);
  if (!parent) return std::unexpected(parent.error());
  if (::mkdirat(parent->folder.get(), parent->name.c_str(), 0700) != 0)
    return fail_errno("make directory " + path_of(inner), errno);
  return {};
}

// By the descriptor: what stands under the name may be changed by whose directory it is.
Result<> Tree::give(const std::string& inner, unsigned mode, const FileOwner* owner) const {
  const auto found = facts(inner);
  if (!found) return std::unexpected(found.error());
  auto file = found->folder ? open_folder(inner) : open_file(inner);
  if (!file) return std::unexpected(file.error());
  struct stat status{};
  if (::fstat(file->get(), &status) != 0) return fail_errno("examine " + path_of(inner), errno);
  if (!S_ISDIR(status.st_mode) && status.st_nlink != 1) {
    return fail(ErrorKind::invalid, "change the owner of " + path_of(inner),
                "the file has another name elsewhere");
  }
  if (owner != nullptr && ::fchown(file->get(), owner->user, owner->group) != 0)
    return fail_errno("change the owner of " + path_of(inner), errno);
  if (::fchmod(file->get(), static_cast<mode_t>(mode)) != 0)
    return fail_errno("set the mode of " + path_of(inner), errno);
  return {};
}

Result<> Tree::move(const std::string& from, const std::string& to) const {
  const auto old = parent_of(from);
  if (!old) return std::unexpected(old.error());
  const auto fresh = parent_of(to);
  if (!fresh) return std::unexpected(fresh.error());
  if (::renameat2(old->folder.get(), old->name.c_str(), fresh->folder.get(), fresh->name.c_str(),
                  RENAME_NOREPLACE) != 0) {
    return fail_errno("rename " + path_of(from) + " to " + path_of(to), errno);
  }
  return {};
}

Result<> Tree::remove_all(const std::string& inner) const {
  const auto found = facts(inner);
  if (!found)
    return found.error().kind == ErrorKind::not_found ? Result<>() : std::unexpected(found.error());
  if (found->folder) {
    const auto inside = names(inner);
    if (!inside) return std::unexpected(inside.error());
    for (const std::string& name : *inside) {
      if (auto removed = remove_all(inner + '/' + name); !removed) return removed;
    }
  }
  const auto parent = parent_of(inner);
  if (!parent) return std::unexpected(parent.error());
  if (::unlinkat(parent->folder.get(), parent->name.c_str(), found->folder ? AT_REMOVEDIR : 0) != 0)
    return fail_errno("remove " + path_of(inner), errno);
  return {};
}

Result<> Tree::sync(const std::string& inner) const {
  const auto folder = open_folder(inner);
  if (!folder) return std::unexpected(folder.error());
  if (::fsync(folder->get()) != 0) return fail_errno("sync " + path_of(inner), errno);
  return {};
}

void shred(const Tree& tree, const std::string& inner, Shredded& told) {
  const auto note = [&](const Result<>& done) {
    if (!done) told.failed.push_back(done.error().text());
  };
  const auto found = tree.facts(inner);
  if (!found) {
    if (found.error().kind != ErrorKind::not_found) told.failed.push_back(found.error().text());
    return;
  }
  if (found->folder) {
    const auto inside = tree.names(inner);
    if (!inside) return told.failed.push_back(inside.error().text());
    for (const std::string& name : *inside) shred(tree, inner + '/' + name, told);
  } else if (found->regular) {
    ++told.files;
    if (!inner.ends_with(".body")) {
      const auto file = tree.open_file(inner, true);
      note(file ? overwrite(*file, tree.path_of(inner)) : std::unexpected(file.error()));
    }
  } else if (found->link) {
    told.failed.push_back(tree.path_of(inner) +
                          ": it is a link; what it points to was not touched");
  }
  note(tree.remove_all(inner));
}

}  // namespace postern::backup
