// What the configuration's tests share: files in memory, real keys made once, a small good
// configuration.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/configuration.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/loader.hpp"

namespace postern::config {

// Keys, certificates and a verifier; made once for the program, because RSA takes its time.
struct TestKeys {
  std::string certificate;
  std::string private_key;
  std::string other_private_key;  // belongs to no certificate here
  std::string roots;
  std::string rsa_pem;
  std::string ed25519_pem;
  std::string verifier;
};
const TestKeys& test_keys();

class MemoryFiles final : public FileSource {
 public:
  MemoryFiles();  // with all that good_text() names, under "etc/"
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> unreadable;  // path -> why

  Result<std::string> read(const std::string& path, std::size_t bytes_max) override;
  Result<Secret> read_secret(const std::string& path, std::size_t bytes_max) override;
  Result<std::string> read_user_file(const std::string& path, std::size_t bytes_max) override;
  Result<std::vector<std::string>> user_files(const std::string& directory) override;
};

// One of everything, 40 lines; "etc/postern.toml" is its name in problems.
std::string good_text();
// A file of the repository.
std::string text_of_source(const std::string& name);
// data/reference.toml with a real verifier, which the page cannot show.
std::string reference_text();
std::string replaced(std::string text, std::string_view what, std::string_view with);

LoadResult load(const std::string& text);
LoadResult load(const std::string& text, MemoryFiles& files);
std::string problems_text(const LoadResult& result);  // one line each

// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }
  void write(const std::string& name, std::string_view text, unsigned mode) const;

 private:
  std::string path_;
};

}  // namespace postern::config
