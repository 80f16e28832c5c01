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
#include "firmware/init/slots.hpp"
#include "gtest/gtest.h"
#include "pe_images.hpp"
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
                                 "\nkernel-a " + std::to_string(kernel_a.size()) + " " +
                                 hash_of(kernel_a) + "\nkernel-b " +
                                 std::to_string(kernel_b.size()) + " " + hash_of(kernel_b) + "\n";
    const std::string signature = signer.sign(manifest);
    return "POSTERN-BUNDLE 1 " + std::to_string(manifest.size()) + " " +
           std::to_string(signature.size()) + "\n" + manifest + signature + root + kernel_a +
           kernel_b;
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
  std::string kernel_a = "ka", kernel_b = "kb" + std::string(100'000, 'k');
};

TEST_F(InstallerTest, AGoodOneIsOnTrialAndTheRunningSlotStays) {
  const auto done = install(bundle());
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(*done, "9");
  EXPECT_EQ(read(place / "root").substr(0, root.size()), root);
  EXPECT_EQ(read(place / "kernels/postern-b+3.efi"), kernel_b);
  EXPECT_EQ(read(place / "kernels/postern-a.efi"), "running");
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b.efi"));
}

TEST_F(InstallerTest, EachSlotGetsItsOwnKernelImage) {
  target.slot = 'a';
  ASSERT_TRUE(install(bundle()));
  EXPECT_EQ(read(place / "kernels/postern-a+3.efi"), kernel_a);
  EXPECT_EQ(read(place / "kernels/postern-b.efi"), "older");
}

TEST_F(InstallerTest, AFlippedBitAnywhereChangesNothing) {
  const std::string good = bundle();
  const std::size_t head = good.size() - root.size() - kernel_a.size() - kernel_b.size();
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

TEST_F(InstallerTest, WhereASignedImageRunsAnUnsignedOneChangesNothing) {
  write(place / "kernels/postern-a.efi", pe_image(1736));
  kernel_b = pe_image(0);
  const auto refused = install(bundle());
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().text().contains("signed for Secure Boot")) << refused.error().text();
  expect_untouched(0);
  kernel_b = pe_image(1736);
  EXPECT_TRUE(install(bundle()));
}

// Two names for one content are what a renaming on FAT leaves behind when the power goes in it.
TEST_F(InstallerTest, WhatIsRemovedWasHiddenBefore) {
  const std::string older = "MZ" + std::string(image_front_bytes - 2, 'x') + "rest";
  write(place / "kernels/postern-b.efi", older);
  fs::create_hard_link(place / "kernels/postern-b.efi", place / "kernels/postern-b+2-1.efi");
  fs::create_hard_link(place / "kernels/postern-b.efi", place / "seen");
  ASSERT_TRUE(install(bundle()));
  EXPECT_EQ(read(place / "seen"), std::string(image_front_bytes, '\0') + "rest");
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b.efi"));
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b+2-1.efi"));
}

TEST_F(InstallerTest, AMediumThatCannotHoldItLeavesTheOtherSlotWithoutAName) {
  target.root_device = (place / "missing/root").string();
  EXPECT_FALSE(install(bundle()));
  EXPECT_FALSE(fs::exists(place / "kernels/postern-b+3.efi"));
  EXPECT_EQ(read(place / "kernels/postern-a.efi"), "running");
}

}  // namespace
}  // namespace postern::firmware
