// Reading a dropped configuration from a file system that anybody may have made.
//
// Promise: nothing but regular files in the known directories is read, under plain names, and no
// more octets and files than a configuration can have; otherwise a sentence says which file is
// wrong. Files whose name begins with a dot are left out: some systems leave such beside every file
// on a stick. Sharp edge: what is read may be secret; it is wiped from memory when it goes.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace postern::firmware {

inline constexpr char drop_main_file[] = "postern.toml";
// What the main file is called while a drop that is in force is being removed.
inline constexpr char drop_taken_file[] = "postern.toml.taken";
inline constexpr const char* drop_directories[] = {"users.d", "tls", "dkim", "secrets"};

inline constexpr std::size_t drop_file_bytes_max = 1 << 20;  // relay/config/limits.hpp
inline constexpr std::size_t drop_bytes_max = 8 << 20;       // of 160 MiB that a box may have
inline constexpr std::size_t drop_files_max = 1000;
inline constexpr std::size_t drop_name_bytes_max = 100;

struct DropFile {
  DropFile(std::string file_name, std::string file_content)
      : name(std::move(file_name)), content(std::move(file_content)) {}
  DropFile(DropFile&&) = default;
  DropFile(const DropFile&) = delete;
  DropFile& operator=(DropFile&&) = default;
  DropFile& operator=(const DropFile&) = delete;
  ~DropFile();
  std::string name;  // "users.d/copier.toml"
  std::string content;
};

// `place` holds a postern.toml. The error is a sentence for the person.
[[nodiscard]] std::expected<std::vector<DropFile>, std::string> read_drop(const std::string& place);

[[nodiscard]] bool is_plain_name(std::string_view name);

}  // namespace postern::firmware
