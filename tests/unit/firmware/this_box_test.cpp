// A machine that is no box is told apart.
#include "firmware/update/this_box.hpp"

#include <gtest/gtest.h>

namespace postern::firmware {
namespace {

TEST(ThisBox, IsNoneWithoutASlotAndADateOnTheKernelsCommandLine) {
  for (const char* line : {"", "quiet root=/dev/sda1", "postern.slot=a", "postern.built=5",
                           "postern.slot=c postern.built=5"}) {
    const auto target = this_box(line);
    ASSERT_FALSE(target) << line;
    EXPECT_EQ(target.error().kind, ErrorKind::unsupported);
    EXPECT_NE(target.error().detail.find("no Postern box"), std::string::npos);
  }
}

TEST(ThisBox, WithoutAReleaseKeyTakesNoUpdate) {
  const auto target = this_box("postern.slot=a postern.built=5");
  ASSERT_FALSE(target);
  EXPECT_NE(target.error().detail.find("without a release key"), std::string::npos);
}

}  // namespace
}  // namespace postern::firmware
