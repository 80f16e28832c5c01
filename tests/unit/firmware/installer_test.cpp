// Installing an update into files: what is not whole, signed and newer changes nothing.
#include "firmware/update/installer.hpp"

#include <sodium.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "crypto/minisign.hpp"
#include "gtest/gtest.h"
#include "relay/base/encoding.hpp"

namespace postern::firmware {
namespace {

namespace fs = std::filesystem;

std::string hash_of(const std::string& content) {
  crypto::Sha256 hash;
  hash.update(as_bytes(content));
  return hash.finish_hex();
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// minisign's format, from libsodium directly.
class Signer {
 public:
  Signer() { crypto_sign_keypair(public_.data(), secret_.data()); }
  [[nodiscard]] std::string public_key() const {
    return "untrusted comment: key\n" + encode_base64(as_bytes("Ed12345678" + text(public_))) +
           "\n";
  }
  [[nodiscard]] std::string sign(const std::string& message) const {
    std::array<unsigned char, 64> hash{};
    crypto_generichash(hash.data(), hash.size(), pointer(message), message.size(), nullptr, 0);
    const std::string made = raw(text(hash));
    return "untrusted comment: none\n" + encode_base64(as_bytes("ED12345678" + made)) +
           "\ntrusted comment: test\n" + encode_base64(as_bytes(raw(made + "test"))) + "\n";
  }

 private:
  template <class Array>
  static std::string text(const Array& octets) {
    return {reinterpret_cast<const char*>(octets.data()), octets.size()};
  }
  static const unsigned char* pointer(const std::string& octets) {
    return reinterpret_cast<const unsigned char*>(octets.data());
  }
  [[nodiscard]] std::string raw(const std::string& message) const {
    std::array<unsigned char, crypto_sign_BYTES> made{};
    crypto_sign_detached(made.data(), nullptr, pointer(message), message.size(), secret_.data());
    return text(made);
  }
  std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> public_{};
  std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret_{};
};

class InstallerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_GE(sodium_init(), 0);
    std::string pattern = fs::temp_directory_path() / "postern-installer-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    place = pattern;
    fs::create_directory(place / "kernels");
    write(place / "root", old_root);
    write(place / "kernels/postern-a.efi", "running");
    write(place / "kernels/postern-b.efi", "older");
    target = {signer.public_key(),         "amd64", 1000, 'b', (place / "root").string(),
              (place / "kernels").string()};
  }
  void TearDown() override { fs::remove_all(place); }

  [[nodiscard]] std::string bundle(const std::string& built = "1001",
                                   const std::string& architecture = "amd64") const {
    const std::string manifest = "version 9\narchitecture " + architecture + "\nbuilt " + built +
                                 "\nroot " + std::to_string(root.size()) + " " + hash_of(root) +
                                 "\nkernel-a 2 " + hash_of("ka") + "\nkernel-b 2 " + hash_of("kb") +
                                 "\n";
    const std::string signature = signer.sign(manifest);
    return "POSTERN-BUNDLE 1 " + std::to_string(manifest.size()) + " " +
           std::to_string(signature.size()) + "\n" + manifest + signature + root + "ka" + "kb";
  }
  [[nodiscard]] Result<std::string> install(const std::string& content) const {
    write(place / "bundle", content);
    return install_update(place / "bundle", target);
  }
  void expect_untouched(std::size_t at) const {
    EXPECT_EQ(read(place / "root"), old_root) << at;
    EXPECT_EQ(read(place / "kernels/postern-b.efi"), "older") << at;
    EXPECT_FALSE(fs::exists(place / "kernels/postern-b+3.efi")) << at;
  }

  Signer signer;
  fs::path place;
  InstallTarget target;
  const std::string old_root = std::string(300'000, 'o');
  const std::string root = std::string(200'000, 'n');
};

TEST_F(InstallerTest, AGoodOneIsOnTrialAndTheRunningSlotStays) {
  const auto done = install(bundle());
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(*done, "9");
  EXPECT_EQ(read(place / "root").substr(0, root.size()), root);
  EXPECT_EQ(read(place / "kernels/postern-b+3.efi"), "kb");
  EXPECT_EQ(read(place / "kernels/postern-a.efi"), "running");
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b.efi"));
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b.part"));
}

TEST_F(InstallerTest, EachSlotGetsItsOwnKernelImage) {
  target.slot = 'a';
  ASSERT_TRUE(install(bundle()));
  EXPECT_EQ(read(place / "kernels/postern-a+3.efi"), "ka");
  EXPECT_EQ(read(place / "kernels/postern-b.efi"), "older");
}

TEST_F(InstallerTest, AFlippedBitAnywhereChangesNothing) {
  const std::string good = bundle();
  const std::size_t head = good.size() - root.size() - 4;
  // The untrusted comment is the one line that no signature covers.
  const std::size_t comment = good.find("untrusted"), comment_end = good.find('\n', comment);
  for (std::size_t at = 0; at < good.size(); at += at < head ? 1 : 9973) {
    if (at >= comment && at < comment_end) continue;
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(install(changed)) << at;
    expect_untouched(at);
  }
  for (std::size_t back = 1; back <= 4; ++back) {
    std::string changed = good;
    changed[changed.size() - back] = static_cast<char>(changed[changed.size() - back] ^ 1);
    EXPECT_FALSE(install(changed)) << back;
    expect_untouched(back);
  }
}

TEST_F(InstallerTest, OneCutShortAnywhereChangesNothing) {
  const std::string good = bundle();
  for (std::size_t size = 0; size < good.size(); size += size < 1000 ? 7 : 10'007) {
    EXPECT_FALSE(install(good.substr(0, size))) << size;
    expect_untouched(size);
  }
  EXPECT_FALSE(install(good.substr(0, good.size() - 1)));
  expect_untouched(good.size() - 1);
}

TEST_F(InstallerTest, OneThatIsNotNewerOrForAnotherMachineOrBySomebodyElseChangesNothing) {
  for (const char* built : {"1000", "999", "1"}) EXPECT_FALSE(install(bundle(built))) << built;
  EXPECT_FALSE(install(bundle("1001", "arm64")));
  const std::string good = bundle();
  target.public_key = Signer().public_key();
  EXPECT_FALSE(install(good));
  target.public_key = "";
  EXPECT_FALSE(install(good));
  expect_untouched(0);
}

TEST_F(InstallerTest, AMediumThatCannotHoldItLeavesTheOtherSlotWithoutAName) {
  target.root_device = (place / "missing/root").string();
  EXPECT_FALSE(install(bundle()));
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b+3.efi"));
  EXPECT_EQ(read(place / "kernels/postern-a.efi"), "running");
}

}  // namespace
}  // namespace postern::firmware
