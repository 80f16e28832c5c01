// The head of an update bundle: taken whole or not at all.
#include "firmware/update/bundle.hpp"

#include <vector>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

const std::string hash(64, 'a');

std::vector<std::string> lines() {
  return {"version 0.2.0",     "architecture amd64",    "built 1795000000",
          "root 4096 " + hash, "kernel-a 4097 " + hash, "kernel-b 4098 " + hash};
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part + "\n";
  return text;
}

TEST(ManifestTest, AWholeOneIsRead) {
  const auto manifest = read_manifest(joined(lines()));
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->version, "0.2.0");
  EXPECT_EQ(manifest->built, 1'795'000'000);
  EXPECT_EQ(manifest->kernel_b.bytes, 4098U);
  EXPECT_EQ(manifest->root.sha256, hash);
}

TEST(ManifestTest, ALineMissingTwiceUnknownOrMalformedRefusesIt) {
  for (std::size_t i = 0; i < lines().size(); ++i) {
    auto without = lines(), twice = lines(), longer = lines();
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
    twice.push_back(twice[i]);
    longer[i] += " more";
    EXPECT_FALSE(read_manifest(joined(without))) << i;
    EXPECT_FALSE(read_manifest(joined(twice))) << i;
    EXPECT_FALSE(read_manifest(joined(longer))) << i;
  }
  for (const std::string& line :
       {std::string("what 1"), std::string("root"), std::string(), "root 0 " + hash,
        "root -1 " + hash, "root 99999999999 " + hash, "root 4096 " + hash.substr(1),
        "root 4096 " + std::string(64, 'A')}) {
    auto changed = lines();
    changed[3] = line;
    EXPECT_FALSE(read_manifest(joined(changed))) << line;
  }
}

TEST(BundleHeadTest, SizesMustFitWhatFollows) {
  const auto head = read_bundle_head("POSTERN-BUNDLE 1 3 2\nabcde...");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->manifest_text, "abc");
  EXPECT_EQ(head->signature, "de");
  EXPECT_EQ(head->parts_at, 26U);
  for (const char* front :
       {"", "POSTERN-BUNDLE 1 3 2", "POSTERN-BUNDLE 1 3 2\nabcd", "POSTERN-BUNDLE 2 3 2\nabcde",
        "POSTERN-BUNDLE 1 3\nabcde", "POSTERN-BUNDLE 1 18446744073709551615 2\nabcde",
        "POSTERN-BUNDLE 1 8193 2\nabcde", "POSTERN-BUNDLE 1 -3 2\nabcde"})
    EXPECT_FALSE(read_bundle_head(front)) << front;
}

}  // namespace
}  // namespace postern::firmware
