// Kernel modules; see the header.
#include "firmware/init/modules.hpp"

#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr int compressed_file = 4;        // MODULE_INIT_COMPRESSED_FILE of linux/module.h
constexpr int open_directories_max = 32;  // nftw(3) reopens beyond it

std::vector<std::string> found_aliases;  // nftw(3) hands no context to its callback

int note_alias(const char* path, const struct stat*, int kind, struct FTW*) {
  const std::string_view name = path;
  if (kind == FTW_F && name.ends_with("/modalias")) {
    if (const auto alias = read_file(path)) found_aliases.emplace_back(trimmed(*alias));
  }
  return 0;
}

}  // namespace

std::string module_name(std::string_view file) {
  std::string name(file.substr(file.rfind('/') + 1));
  name.resize(std::min(name.find('.'), name.size()));
  std::ranges::replace(name, '-', '_');
  return name;
}

ModuleIndex::ModuleIndex(std::string_view dependencies, std::string_view aliases) {
  for (const std::string_view line : split(dependencies, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string file(line.substr(0, colon));
    auto& needs = dependencies_[file];
    for (const std::string_view word : split(line.substr(colon + 1), ' ')) needs.emplace_back(word);
    files_[module_name(file)] = file;
  }
  for (const std::string_view line : split(aliases, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == 3 && words[0] == "alias") aliases_.emplace_back(words[1], words[2]);
  }
}

void ModuleIndex::add(const std::string& file, std::vector<std::string>& order) const {
  const auto entry = dependencies_.find(file);
  // depmod lists a module's whole closure, the nearest first; the deepest must be loaded first.
  if (entry != dependencies_.end()) {
    for (auto need = entry->second.rbegin(); need != entry->second.rend(); ++need) {
      if (std::ranges::find(order, *need) == order.end()) order.push_back(*need);
    }
  }
  if (std::ranges::find(order, file) == order.end()) order.push_back(file);
}

std::vector<std::string> ModuleIndex::for_name(std::string_view name) const {
  std::vector<std::string> order;
  const auto file = files_.find(module_name(name));
  if (file != files_.end()) add(file->second, order);
  return order;
}

std::vector<std::string> ModuleIndex::names_below(std::string_view directory) const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) {
    if (file.starts_with(directory)) names.push_back(name);
  }
  return names;
}

std::vector<std::string> ModuleIndex::for_device(const std::string& alias) const {
  std::vector<std::string> order;
  for (const auto& [pattern, name] : aliases_) {
    if (fnmatch(pattern.c_str(), alias.c_str(), 0) != 0) continue;
    for (const auto& file : for_name(name)) {
      if (std::ranges::find(order, file) == order.end()) order.push_back(file);
    }
  }
  return order;
}

ModuleLoader::ModuleLoader(std::string directory, ModuleIndex index)
    : directory_(std::move(directory)), index_(std::move(index)) {}

void ModuleLoader::load(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    if (!loaded_.insert(file).second) continue;
    const int fd = ::open((directory_ + "/" + file).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      say_errno("module " + file, errno);
      continue;
    }
    const int flags = file.ends_with(".xz") ? compressed_file : 0;
    // ENODEV: a driver for a chip that is not there, which is no fault.
    if (::syscall(SYS_finit_module, fd, "", flags) != 0 && errno != EEXIST && errno != ENODEV) {
      say_errno("module " + file, errno);
    }
    ::close(fd);
  }
}

void ModuleLoader::load_directory(std::string_view directory, std::string_view but) {
  for (const std::string& name : index_.names_below(directory)) {
    if (name != but) load_named(name);
  }
}

void ModuleLoader::load_for_devices() {
  found_aliases.clear();
  ::nftw("/sys/devices", note_alias, open_directories_max, FTW_PHYS);
  for (const std::string& alias : found_aliases) {
    if (seen_.insert(alias).second) load(index_.for_device(alias));
  }
}

}  // namespace postern::firmware
