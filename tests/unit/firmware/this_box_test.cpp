// A machine that is no box is told apart, and a box takes nothing that is older than what it ran.
#include "firmware/update/this_box.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/firmware/scratch_directory.hpp"

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

class ABox : public testing::Test {
 protected:
  ABox() {
    write("release.pub", "a key\n");
    write("sys/class/block/vda3/uevent", "DEVTYPE=partition\nPARTNAME=postern-root-b\n");
    write("kernels/postern-a.efi", "");
  }
  void write(const std::string& name, const std::string& content) const {
    const auto path = scratch_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
  [[nodiscard]] Result<InstallTarget> target() const {
    const std::string place = scratch_.path().string() + "/";
    return this_box("quiet postern.slot=a postern.built=1000",
                    {.release_key = place + "release.pub",
                     .floor = place + "floor",
                     .sys = place + "sys",
                     .kernels_directory = place + "kernels"});
  }
  [[nodiscard]] std::int64_t built_after() const {
    const auto found = target();
    EXPECT_TRUE(found) << found.error().text();
    return found ? found->built_after : -1;
  }
  ScratchDirectory scratch_;
};

TEST_F(ABox, InstallsIntoTheOtherSlot) {
  const auto found = target();
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->public_key, "a key\n");
  EXPECT_EQ(found->slot, 'b');
  EXPECT_EQ(found->root_device, "/dev/vda3");
  EXPECT_EQ(found->kernels_directory, scratch_.path() / "kernels");
}

// A box that went back to its old slot: that image's date alone would let older updates in again.
TEST_F(ABox, TakesNothingOlderThanTheNewestImageThatWasGood) {
  const std::string floor = scratch_.path() / "floor";
  EXPECT_EQ(built_after(), 1000) << "nothing was stored yet";
  raise_floor(999, floor);
  EXPECT_EQ(built_after(), 1000);
  raise_floor(1001, floor);
  EXPECT_EQ(built_after(), 1001);
  raise_floor(999, floor);
  EXPECT_EQ(built_after(), 1001) << "it never sinks";
}

TEST_F(ABox, AFloorThatIsNoNumberCountsAsNone) {
  for (const char* text : {"", "\n", "soon\n", "x2000\n", "99999999999999999999\n", "-5\n"}) {
    write("floor", text);
    EXPECT_EQ(built_after(), 1000) << text;
  }
}

}  // namespace
}  // namespace postern::firmware
