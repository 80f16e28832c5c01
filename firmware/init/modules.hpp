// Which kernel modules a device needs, from depmod's text files, and loading them.
//
// Promise: a module is loaded after what it depends on, and once; the kernel checks its signature.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace postern::firmware {

class ModuleIndex {
 public:
  // The contents of modules.dep and modules.alias.
  ModuleIndex(std::string_view dependencies, std::string_view aliases);
  // Files to load for a device's alias, in order; empty when no module is for it.
  [[nodiscard]] std::vector<std::string> for_device(const std::string& alias) const;
  // The same for a module's own name, such as "ext4".
  [[nodiscard]] std::vector<std::string> for_name(std::string_view name) const;
  // The names of those below a directory.
  [[nodiscard]] std::vector<std::string> names_below(std::string_view directory) const;

 private:
  void add(const std::string& file, std::vector<std::string>& order) const;
  std::map<std::string, std::vector<std::string>, std::less<>> dependencies_;  // file: files
  std::map<std::string, std::string, std::less<>> files_;                      // name: file
  std::vector<std::pair<std::string, std::string>> aliases_;                   // pattern, name
};

// "kernel/fs/ext4/ext4.ko.xz" is "ext4"; '-' and '_' are the same to the kernel.
[[nodiscard]] std::string module_name(std::string_view file);

class ModuleLoader {
 public:
  ModuleLoader(std::string directory, ModuleIndex index);
  void load(const std::vector<std::string>& files);
  void load_named(std::string_view name) { load(index_.for_name(name)); }
  // Every module below `directory` ("kernel/drivers/watchdog/") but the one named.
  void load_directory(std::string_view directory, std::string_view but);
  void load_for_devices();  // for every device that sysfs knows and that was not seen before

 private:
  std::string directory_;
  ModuleIndex index_;
  std::set<std::string> loaded_;
  std::set<std::string> seen_;
};

}  // namespace postern::firmware
