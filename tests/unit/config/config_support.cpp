// Files in memory, keys and the small good configuration; see the header.
#include "tests/unit/config/config_support.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/dkim.hpp"
#include "crypto/password.hpp"
#include "crypto/random.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::config {

namespace {

TestKeys make_keys() {
  EXPECT_TRUE(crypto::initialise());
  const testing::TestAuthority authority;
  const auto certificate = authority.issue("relay.office.example");
  const auto other = authority.issue("other.office.example");
  const auto rsa = crypto::generate_dkim_key(crypto::DkimAlgorithm::rsa_sha256);
  const auto ed25519 = crypto::generate_dkim_key(crypto::DkimAlgorithm::ed25519_sha256);
  const auto verifier =
      crypto::PasswordVerifier::make_scram_sha_256(Secret(std::string_view("printer-secret")));
  EXPECT_TRUE(rsa && ed25519 && verifier);
  return {certificate.certificate_pem,
          std::string(certificate.private_key_pem.text()),
          std::string(other.private_key_pem.text()),
          authority.root_pem(),
          std::string(rsa->private_key_pem.text()),
          std::string(ed25519->private_key_pem.text()),
          verifier->text()};
}

}  // namespace

const TestKeys& test_keys() {
  static const TestKeys keys = make_keys();
  return keys;
}

MemoryFiles::MemoryFiles() {
  const TestKeys& keys = test_keys();
  files = {{"etc/tls/relay.crt", keys.certificate},
           {"etc/tls/relay.key", keys.private_key},
           {"etc/tls/other.key", keys.other_private_key},
           {"etc/tls/ca.pem", keys.roots},
           {"etc/dkim/rsa.pem", keys.rsa_pem},
           {"etc/dkim/ed25519.pem", keys.ed25519_pem},
           {"etc/secrets/provider", "upstream-password\r\nsecond line\n"},
           {"etc/secrets/empty", "\n"}};
}

Result<std::string> MemoryFiles::read(const std::string& path, std::size_t bytes_max) {
  if (unreadable.contains(path))
    return fail(ErrorKind::denied, "read " + path, unreadable.at(path));
  const auto found = files.find(path);
  if (found == files.end()) return fail(ErrorKind::not_found, "open " + path, "no such file");
  if (found->second.size() > bytes_max) return fail(ErrorKind::invalid, "read " + path, "too long");
  return found->second;
}

Result<Secret> MemoryFiles::read_secret(const std::string& path, std::size_t bytes_max) {
  const auto text = read(path, bytes_max);
  if (!text) return std::unexpected(text.error());
  return Secret(*text);
}

Result<std::string> MemoryFiles::read_user_file(const std::string& path, std::size_t bytes_max) {
  return read(path, bytes_max);
}

Result<std::vector<std::string>> MemoryFiles::user_files(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& [path, content] : files) {
    if (directory_of(path) == directory) names.push_back(path.substr(directory.size() + 1));
  }
  return names;
}

std::string good_text() {
  return R"([server]
hostname = "relay.office.example"
state_directory = "/var/lib/postern"
control_socket = "/run/postern/control"
postmaster = "it@office.example"
[[listener]]
address = "[::]:465"
tls = "implicit"
[tls]
certificate_file = "tls/relay.crt"
private_key_file = "tls/relay.key"
version_min = "1.2"
[limits]
recipients_max = 100
idle_timeout = "5m"
[queue]
retry_delay_min = "1m"
[[user]]
name = "copier-2"
password = ")" +
         test_keys().verifier + R"("
senders = ["scan@office.example"]
recipients = ["*"]
addresses = ["192.168.10.0/24"]
owner = "it@office.example"
messages_per_minute_max = 30
bare_newline = "reject"
[[dkim]]
domain = "office.example"
selector = "p2026a"
private_key_file = "dkim/rsa.pem"
[[upstream]]
name = "provider"
host = "smtp.provider.example"
port = 587
tls = "starttls"
ca_file = "tls/ca.pem"
username = "relay@office.example"
password_file = "secrets/provider"
connections_max = 4
[[route]]
upstreams = ["provider"]
)";
}

std::string text_of_source(const std::string& name) {
  std::ifstream file(POSTERN_SOURCE_DIR "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string reference_text() {
  return replaced(text_of_source("tests/unit/config/data/reference.toml"),
                  "argon2id:$argon2id$v=19$m=19456,t=2,p=1$…", test_keys().verifier);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  if (at != std::string::npos) text.replace(at, what.size(), with);
  return text;
}

LoadResult load(const std::string& text, MemoryFiles& files) {
  return load_from_text(text, "etc/postern.toml", files);
}

LoadResult load(const std::string& text) {
  MemoryFiles files;
  return load(text, files);
}

std::string problems_text(const LoadResult& result) {
  std::string all;
  for (const Problem& problem : result.problems) all += problem.text() + '\n';
  return all;
}

TemporaryDirectory::TemporaryDirectory() {
  path_ = (std::filesystem::temp_directory_path() / "postern-config-XXXXXX").string();
  EXPECT_NE(::mkdtemp(path_.data()), nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryDirectory::write(const std::string& name, std::string_view text,
                               unsigned mode) const {
  const std::filesystem::path path = std::filesystem::path(path_) / name;
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  std::ofstream(path) << text;
  EXPECT_EQ(::chmod(path.c_str(), mode), 0);
}

}  // namespace postern::config
