// What the tests of backups share: a directory of one's own, and files in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "relay/backup/tree.hpp"
#include "relay/base/file.hpp"

namespace postern::backup {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-backup-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  [[nodiscard]] std::string path(const std::string& inner = "") const {
    return inner.empty() ? root_ : root_ + '/' + inner;
  }
  void write(const std::string& inner, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(path(inner)).parent_path());
    std::ofstream(path(inner), std::ios::binary) << content;
    std::filesystem::permissions(path(inner), std::filesystem::perms(0600));
  }
  [[nodiscard]] std::string read(const std::string& inner) const {
    std::ifstream file(path(inner), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] bool has(const std::string& inner) const {
    return std::filesystem::exists(std::filesystem::symlink_status(path(inner)));
  }
  [[nodiscard]] Tree tree(const std::string& inner = "") const {
    auto opened = Tree::open(path(inner));
    if (!opened) std::abort();
    return std::move(*opened);
  }

 private:
  std::string root_;
};

}  // namespace postern::backup
