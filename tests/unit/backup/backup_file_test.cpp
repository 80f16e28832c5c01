// Whole backups on the disk: written and verified, cut, changed, and with another passphrase.
#include "relay/backup/backup_file.hpp"

#include <fstream>

#include "backup_support.hpp"
#include "crypto/random.hpp"
#include "crypto/sealed_body.hpp"
#include "crypto/sealed_file.hpp"
#include "relay/backup/sources.hpp"

namespace postern::backup {
namespace {

struct Count final : ArchiveSink {
  std::uint64_t files = 0, bytes = 0;
  Result<> begin(const Entry&) override { return {}; }
  Result<> content(ByteView octets) override {
    bytes += octets.size();
    return {};
  }
  Result<> end_file(std::string_view) override {
    ++files;
    return {};
  }
};

class BackupFile : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(crypto::initialise()); }

  void SetUp() override {
    scratch.write("config/postern.toml", "[server]\n");
    scratch.write("config/users.d/a.toml", "user");
    scratch.write("config/tls/relay.key", std::string(200'000, 'k'));
    scratch.write("config/other/own.key", "named");
    scratch.write("config/stranger", "not ours");
  }

  Result<std::vector<Source>> sources(const std::vector<NamedPath>& named = {}) {
    Sources collected(std::nullopt);
    collected.add_about("test");
    if (auto added =
            collected.add_configuration(tree, scratch.path("config"), "postern.toml", named);
        !added)
      return std::unexpected(added.error());
    return collected.take();
  }
  Result<BackupFacts> write(const std::string& to) {
    auto all =
        sources({{scratch.path("config/other/own.key"), "postern.toml:3:1", "private_key_file"}});
    if (!all) return std::unexpected(all.error());
    return write_backup(scratch.path(to), std::move(*all), passphrase, [] { return false; });
  }
  Result<> read(const std::string& from) {
    Count count;
    return read_backup(scratch.path(from), passphrase, count);
  }
  // No temporary file is left.
  std::size_t names_at_top() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(scratch.path()), {}));
  }

  const Scratch scratch;
  const Secret passphrase{std::string_view("correct horse battery")};
  const Tree tree = [this] {
    std::filesystem::create_directories(scratch.path("config"));
    return scratch.tree("config");
  }();
};

TEST_F(BackupFile, HoldsWhatBelongsToTheConfigurationAndNothingElse) {
  const auto facts = write("b");
  ASSERT_TRUE(facts) << facts.error().text();
  Count found;
  ASSERT_TRUE(read_backup(scratch.path("b"), passphrase, found));
  EXPECT_EQ(found.files, 5);  // about, main, user, key, the named one
  EXPECT_EQ(found.bytes, 4 + 9 + 4 + 200'000 + 5);
  EXPECT_EQ(facts->bytes, std::filesystem::file_size(scratch.path("b")));
  const std::string octets = scratch.read("b");
  EXPECT_EQ(octets.find("[server]"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(scratch.path("b")).permissions(), std::filesystem::perms(0600));
}

TEST_F(BackupFile, AFileThatIsThereIsNotWrittenOver) {
  scratch.write("b", "precious");
  EXPECT_EQ(write("b").error().kind, ErrorKind::exists);
  EXPECT_EQ(scratch.read("b"), "precious");
  EXPECT_EQ(names_at_top(), 2);
}

TEST_F(BackupFile, CutAtEveryChunkItIsRefused) {
  ASSERT_TRUE(write("b"));
  const std::string whole = scratch.read("b");
  const std::size_t chunk = crypto::seal_chunk_bytes + crypto::seal_overhead_bytes;
  std::size_t cuts = 0;
  for (std::size_t at = crypto::sealed_file_head_bytes + crypto::seal_header_bytes;
       at < whole.size(); at += chunk) {
    for (const std::size_t cut : {at - 1, at, at + 1}) {
      scratch.write("cut", whole.substr(0, cut));
      EXPECT_FALSE(read("cut")) << cut;
      ++cuts;
    }
  }
  EXPECT_GE(cuts, 12);
  scratch.write("cut", whole + "x");
  EXPECT_FALSE(read("cut"));
}

TEST_F(BackupFile, AFlippedBitAnywhereIsFound) {
  ASSERT_TRUE(write("b"));
  const std::string whole = scratch.read("b");
  for (std::size_t at = 0; at < whole.size(); at += 9'973) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    scratch.write("changed", changed);
    EXPECT_FALSE(read("changed")) << at;
  }
}

// A new machine has its roots, but not our keys.
TEST_F(BackupFile, OnlyWhatTheSystemBringsMayStandElsewhere) {
  for (const auto& [path, key, good] :
       {std::tuple("/etc/ssl/certs/ca-certificates.crt", "ca_file", true),
        std::tuple("/etc/ssl/private/own.key", "private_key_file", false),
        std::tuple("/usr/local/certificate.pem", "certificate_file", false),
        std::tuple("/run/credentials/postern.service/p", "password_file", true),
        std::tuple("/run/credentials/../../etc/own", "password_file", false),
        std::tuple("/etc/ssl/own", "password_file", false)}) {
    EXPECT_EQ(sources({{path, "postern.toml:3:1", key}}).has_value(), good) << path;
  }
}

TEST_F(BackupFile, AnotherPassphraseIsToldAsSuch) {
  ASSERT_TRUE(write("b"));
  Count count;
  const auto wrong =
      read_backup(scratch.path("b"), Secret(std::string_view("incorrect horse battery")), count);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, ErrorKind::invalid);
  EXPECT_EQ(count.bytes, 0);
}

TEST_F(BackupFile, AnInterruptedOneLeavesNothing) {
  auto all = sources();
  ASSERT_TRUE(all);
  int asked = 0;
  const auto written = write_backup(scratch.path("b"), std::move(*all), passphrase,
                                    [&asked] { return ++asked > 2; });
  EXPECT_FALSE(written);
  EXPECT_EQ(names_at_top(), 1);
}

// The medium keeps one bit otherwise than it was told.
TEST_F(BackupFile, IsReadBackBeforeItIsSaidToBeGood) {
  auto all = sources();
  ASSERT_TRUE(all);
  bool flipped = false;
  const auto flip_a_bit = [&] {
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
      const std::string name = entry.path().filename();
      if (flipped || !name.contains(".part-") || entry.file_size() < 100'000) continue;
      std::fstream part(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      part.seekg(50'000);
      const int octet = part.get();
      part.seekp(50'000);
      part.put(static_cast<char>(octet ^ 1));
      flipped = true;
    }
    return false;
  };
  const auto written = write_backup(scratch.path("b"), std::move(*all), passphrase, flip_a_bit);
  EXPECT_TRUE(flipped);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().detail.find("damaged"), std::string::npos) << written.error().text();
  EXPECT_EQ(names_at_top(), 1);
}

TEST_F(BackupFile, AFileThatGrewMeanwhileIsToldAndLeavesNothing) {
  auto all = sources();
  ASSERT_TRUE(all);
  scratch.write("config/users.d/a.toml", "a longer user");
  const auto written =
      write_backup(scratch.path("b"), std::move(*all), passphrase, [] { return false; });
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().detail.find("longer"), std::string::npos);
  EXPECT_EQ(names_at_top(), 1);
}

TEST_F(BackupFile, WhatIsNamedElsewhereIsRefusedWithItsPlace) {
  const auto refused = sources({{"/var/keys/x.pem", "postern.toml:7:20", "private_key_file"}});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("postern.toml:7:20"), std::string::npos);
}

TEST_F(BackupFile, ALinkInAFolderIsRefused) {
  std::filesystem::create_symlink("/etc/passwd", scratch.path("config/tls/x"));
  const auto refused = sources();
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("tls/x"), std::string::npos);
}

}  // namespace
}  // namespace postern::backup
