// Where the loader gets its files from: the disk, or a test's or fuzzer's memory.
//
// Promise: the loader touches the world through this only. Sharp edge: see relay/base/file.hpp;
// reading belongs on no loop thread while clients wait.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/base/file.hpp"
#include "relay/base/secret.hpp"

namespace postern::config {

class FileSource {
 public:
  FileSource() = default;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  virtual ~FileSource() = default;

  [[nodiscard]] virtual Result<std::string> read(const std::string& path,
                                                 std::size_t bytes_max) = 0;
  // Refused when group or others can read it; from a disk, but for systemd's credentials.
  [[nodiscard]] virtual Result<Secret> read_secret(const std::string& path,
                                                   std::size_t bytes_max) = 0;
  // As read(), and refused when others can open it or it is neither root's nor the reader's:
  // verifiers can be guessed at offline, and who owns them says who may send.
  [[nodiscard]] virtual Result<std::string> read_user_file(const std::string& path,
                                                           std::size_t bytes_max) = 0;
  // Names of the *.toml files of a directory, sorted; none when there is no such directory.
  [[nodiscard]] virtual Result<std::vector<std::string>> user_files(
      const std::string& directory) = 0;
};

// The main file; it may hold users, and then what counts for users.d counts for it.
struct MainFile {
  std::string text;
  std::optional<Error> users_refused;  // why it may hold none
};

class DiskFiles final : public FileSource {
 public:
  [[nodiscard]] Result<std::string> read(const std::string& path, std::size_t bytes_max) override;
  [[nodiscard]] Result<Secret> read_secret(const std::string& path, std::size_t bytes_max) override;
  [[nodiscard]] Result<std::string> read_user_file(const std::string& path,
                                                   std::size_t bytes_max) override;
  [[nodiscard]] Result<std::vector<std::string>> user_files(const std::string& directory) override;
  [[nodiscard]] static Result<MainFile> read_main_file(const std::string& path,
                                                       std::size_t bytes_max);
};

// Whether a file may hold verifiers when user id `reader` reads it. Root may look at anybody's.
[[nodiscard]] Result<> check_keeps_verifiers(const FileWithFacts& file, const std::string& path,
                                             unsigned reader);

// "etc/postern.toml" -> "etc"; "postern.toml" -> ".".
[[nodiscard]] std::string directory_of(const std::string& path);
// `path` as a file in `directory` means it; absolute paths stay.
[[nodiscard]] std::string resolve_path(const std::string& directory, const std::string& path);
[[nodiscard]] std::string absolute_path(const std::string& path);

}  // namespace postern::config
