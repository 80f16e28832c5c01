// What goes into a backup, and where it is read from.
//
// Promise: the rule of places is kept here: a backup holds what is beneath the configuration's
// directory, the queue with its key, and an authority's three files. What a configuration names
// elsewhere is refused, unless it is the system's: a ca_file below /etc/ssl or /usr, and a
// password_file that systemd hands over below /run/credentials (their originals are in
// `credentials`). So a restore writes nowhere else. Sharp edge: the folders of
// configuration_folders go in whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay/backup/backup_file.hpp"
#include "relay/backup/tree.hpp"
#include "relay/base/error.hpp"

namespace postern::backup {

struct NamedPath {
  std::string path;   // absolute
  std::string where;  // "postern.toml:12:20: password_file"
  std::string key{};  // "password_file"
};

class Sources {
 public:
  // `relay`: whose files are to be the relay's again.
  explicit Sources(const std::optional<FileOwner>& relay) : relay_(relay) {}

  // `directory` is absolute; `main_name` is the main file's name in it.
  [[nodiscard]] Result<> add_configuration(const Tree& tree, const std::string& directory,
                                           const std::string& main_name,
                                           const std::vector<NamedPath>& named);
  [[nodiscard]] Result<> add_authority(const Tree& tree);
  [[nodiscard]] Result<> add_queue_key(const Tree& state);
  [[nodiscard]] Result<> add_queue(const Tree& snapshot);
  void add_about(std::string text);

  [[nodiscard]] std::vector<Source> take() { return std::move(sources_); }

 private:
  [[nodiscard]] Result<> add(const Tree& tree, const std::string& path, Place place,
                             const std::string& name);
  [[nodiscard]] Result<> add_folder(const Tree& tree, const std::string& path);
  [[nodiscard]] Result<> add_named(const Tree& tree, const std::string& directory,
                                   const NamedPath& named);
  [[nodiscard]] bool has(Place place, const std::string& name) const;

  std::optional<FileOwner> relay_;
  std::vector<Source> sources_;
};

}  // namespace postern::backup
