// The disk as a source of configuration files; see the header.
#include "relay/config/file_source.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "relay/config/limits.hpp"

namespace postern::config {

namespace {

constexpr std::string_view user_file_ending = ".toml";

// "x.toml", not an editor's leftovers (".x.toml.swp", "x.toml~") and not a file being written.
bool is_user_file(const std::string& name) {
  return name.size() > user_file_ending.size() && !name.starts_with('.') &&
         name.ends_with(user_file_ending);
}

// Who reads: the user's name, else the number.
std::string own_user() {
  std::array<char, 4'096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr) {
    return found->pw_name;
  }
  return std::to_string(::geteuid());
}

// The error with what to do, where the words so far only say what is wrong.
template <class T>
Result<T> with_advice(Result<T> result, const std::string& path) {
  if (result || result.error().kind != ErrorKind::denied) return result;
  Error error = std::move(result).error();
  if (error.detail.find("belongs to user id") != std::string::npos) {
    error.detail += fmt::format("; run: chown {} {}", own_user(), path);
  } else if (error.detail.find("chmod") == std::string::npos) {
    error.detail += fmt::format(
        "; user {} may not open it: look at the owner and mode of it and of the directories above",
        own_user());
  }
  return std::unexpected(std::move(error));
}

}  // namespace

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string resolve_path(const std::string& directory, const std::string& path) {
  if (path.starts_with('/') || directory == ".") return path;
  return directory.ends_with('/') ? directory + path : directory + '/' + path;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

Result<std::string> DiskFiles::read(const std::string& path, std::size_t bytes_max) {
  return with_advice(read_file(path, bytes_max), path);
}

Result<Secret> DiskFiles::read_secret(const std::string& path, std::size_t bytes_max) {
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");  // systemd.exec(5)
  return with_advice(read_secret_file(path, bytes_max, credentials == nullptr ? "" : credentials),
                     path);
}

Result<> check_keeps_verifiers(const FileWithFacts& file, const std::string& path,
                               unsigned reader) {
  if ((file.mode & S_IRWXO) != 0) {
    return fail(ErrorKind::denied, "read " + path,
                fmt::format("others can open it (mode {:o}) and it holds password verifiers; run: "
                            "chmod o-rwx {}",
                            file.mode, path));
  }
  if (file.owner != reader && file.owner != 0 && reader != 0) {
    return fail(ErrorKind::denied, "read " + path,
                fmt::format("it holds password verifiers and belongs to user id {}; it must belong "
                            "to root or to user id {}",
                            file.owner, reader));
  }
  return {};
}

Result<std::string> DiskFiles::read_user_file(const std::string& path, std::size_t bytes_max) {
  auto file = with_advice(read_file_with_facts(path, bytes_max), path);
  if (!file) return std::unexpected(std::move(file).error());
  if (auto kept = with_advice(check_keeps_verifiers(*file, path, ::geteuid()), path); !kept) {
    return std::unexpected(std::move(kept).error());
  }
  return std::move(file->text);
}

Result<MainFile> DiskFiles::read_main_file(const std::string& path, std::size_t bytes_max) {
  auto file = with_advice(read_file_with_facts(path, bytes_max), path);
  if (!file) return std::unexpected(std::move(file).error());
  MainFile main_file;
  if (auto kept = with_advice(check_keeps_verifiers(*file, path, ::geteuid()), path); !kept) {
    main_file.users_refused = std::move(kept).error();
  }
  main_file.text = std::move(file->text);
  return main_file;
}

Result<std::vector<std::string>> DiskFiles::user_files(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (!is_user_file(name)) continue;
    if (names.size() == user_files_max) {
      return fail(ErrorKind::invalid, "list " + directory,
                  fmt::format("it holds more than {} files", user_files_max));
    }
    names.push_back(std::move(name));
  }
  if (error) return fail_errno("list " + directory, error.value());
  std::ranges::sort(names);
  return names;
}

}  // namespace postern::config
