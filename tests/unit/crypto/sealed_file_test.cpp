// The head of a file sealed under a passphrase.
#include "crypto/sealed_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/random.hpp"

namespace postern::crypto {
namespace {

class SealedFileHead : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(initialise()); }
  const Secret passphrase{std::string_view("a dozen octets at least")};
};

TEST_F(SealedFileHead, OpensWithItsPassphraseAndNoOther) {
  const auto made = begin_sealed_file(passphrase);
  ASSERT_TRUE(made);
  ASSERT_EQ(made->head.size(), sealed_file_head_bytes);
  const auto opened = open_sealed_file(made->head, passphrase);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(std::ranges::equal(opened->view(), made->key.view()));
  const auto wrong =
      open_sealed_file(made->head, Secret(std::string_view("a dozen octets at leasT")));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, ErrorKind::invalid);
}

TEST_F(SealedFileHead, TwoFilesOfOnePassphraseHaveDifferentKeys) {
  const auto one = begin_sealed_file(passphrase), other = begin_sealed_file(passphrase);
  ASSERT_TRUE(one && other);
  EXPECT_FALSE(std::ranges::equal(one->key.view(), other->key.view()));
}

// Also those bits that change the cost within its bounds: another cost is another key.
TEST_F(SealedFileHead, NoChangedOctetOpens) {
  const auto made = begin_sealed_file(passphrase);
  ASSERT_TRUE(made);
  for (const std::size_t at : {0UZ, 15UZ, 16UZ, 20UZ, 24UZ, 28UZ, 43UZ, 44UZ, 83UZ}) {
    Bytes changed = made->head;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(open_sealed_file(changed, passphrase)) << at;
  }
}

TEST_F(SealedFileHead, AbsurdCostsAreRefusedBeforeTheyAreTaken) {
  const auto made = begin_sealed_file(passphrase);
  ASSERT_TRUE(made);
  for (const std::size_t at : {23UZ, 27UZ}) {  // the highest octets of passes and KiB
    Bytes changed = made->head;
    changed[at] = std::byte{0x7f};
    const auto cost = read_sealed_file_cost(changed);
    ASSERT_FALSE(cost);
    EXPECT_EQ(cost.error().kind, ErrorKind::unsupported);
  }
  Bytes newer = made->head;
  newer[16] = std::byte{2};
  EXPECT_NE(read_sealed_file_cost(newer).error().detail.find("newer"), std::string::npos);
}

TEST_F(SealedFileHead, ACutHeadIsNoBackup) {
  const auto made = begin_sealed_file(passphrase);
  ASSERT_TRUE(made);
  for (std::size_t size = 0; size < made->head.size(); ++size)
    EXPECT_FALSE(read_sealed_file_cost(ByteView(made->head).first(size))) << size;
}

}  // namespace
}  // namespace postern::crypto
