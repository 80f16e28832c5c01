// Starts the two crypto libraries once, before any test of this folder.
#include <gtest/gtest.h>

#include "crypto/random.hpp"

namespace {

class CryptoEnvironment : public testing::Environment {
 public:
  void SetUp() override { ASSERT_TRUE(postern::crypto::initialise()); }
};

const auto* const environment = testing::AddGlobalTestEnvironment(new CryptoEnvironment);

TEST(Initialise, MayRunTwice) {
  ASSERT_NE(environment, nullptr);
  EXPECT_TRUE(postern::crypto::initialise());
}

}  // namespace
