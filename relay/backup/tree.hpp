// A directory and what is beneath it, for a command that root runs on directories of others.
//
// Promise: no link beneath the top is followed, neither a file's nor a folder's: who owns the
// directory could else point root at any file of the machine. Paths are relative and as
// check_entry() lets them through, or come from listing. Sharp edge: the top itself may be a link.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/base/file.hpp"

namespace postern::backup {

struct Facts {
  bool folder = false;
  bool regular = false;
  bool link = false;
  std::uint64_t size = 0;
  unsigned mode = 0;
  FileOwner owner{};
};

class Tree {
 public:
  [[nodiscard]] static Result<Tree> open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_of(const std::string& inner) const { return path_ + '/' + inner; }
  // The top's own for an empty path.
  [[nodiscard]] Result<Facts> facts(const std::string& inner) const;
  [[nodiscard]] bool holds(const std::string& inner) const;
  // Sorted names in a folder, of the top for an empty path; none where there is no such folder.
  [[nodiscard]] Result<std::vector<std::string>> names(const std::string& inner) const;

  // A regular file, for reading; or also for writing over what it holds.
  [[nodiscard]] Result<FileDescriptor> open_file(const std::string& inner,
                                                 bool for_writing = false) const;
  [[nodiscard]] Result<FileDescriptor> create_file(const std::string& inner) const;  // 0600, new
  [[nodiscard]] Result<> make_folder(const std::string& inner) const;                // 0700, new
  [[nodiscard]] Result<> give(const std::string& inner, unsigned mode,
                              const FileOwner* owner) const;
  // Refused where there is something under the new name.
  [[nodiscard]] Result<> move(const std::string& from, const std::string& to) const;
  // A file, or a folder with all that is in it; nothing to do where there is none.
  [[nodiscard]] Result<> remove_all(const std::string& inner) const;
  [[nodiscard]] Result<> sync(const std::string& inner = {}) const;  // a folder

 private:
  struct Parent {
    FileDescriptor folder;
    std::string name;
  };
  Tree(std::string path, FileDescriptor top) : path_(std::move(path)), top_(std::move(top)) {}
  [[nodiscard]] Result<Parent> parent_of(const std::string& inner) const;
  [[nodiscard]] Result<FileDescriptor> open_folder(const std::string& inner) const;

  std::string path_;
  FileDescriptor top_;
};

struct Shredded {
  std::uint64_t files = 0;
  std::vector<std::string> failed;  // full paths, with why
};
// Overwrites a file's octets in their place, syncs and removes it; a folder with all that is in it.
// `.body` files are only removed: they are sealed. Goes on after a failure and tells it, and also
// what is not overwritten because it is a link, or a second name of a file that stands elsewhere.
void shred(const Tree& tree, const std::string& inner, Shredded& told);

}  // namespace postern::backup
