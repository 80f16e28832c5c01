// The names that boot counting gives to the slots' kernel images.
#include "firmware/init/slots.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

namespace fs = std::filesystem;

SlotState state_of(const std::string& name) { return find_slot_image({"x", name}, 'b').state; }

TEST(SlotsTest, TheNameTellsTheState) {  // systemd's Automatic Boot Assessment
  EXPECT_EQ(state_of("postern-b.efi"), SlotState::good);
  EXPECT_EQ(state_of("postern-b+3.efi"), SlotState::on_trial);
  EXPECT_EQ(state_of("postern-b+2-1.efi"), SlotState::on_trial);
  EXPECT_EQ(state_of("postern-b+10-2.efi"), SlotState::on_trial);
  EXPECT_EQ(state_of("postern-b+0-3.efi"), SlotState::failed);
  EXPECT_EQ(state_of("postern-b+0.efi"), SlotState::failed);
}

TEST(SlotsTest, OfTwoNamesThatAPowerCutLeftTheGoodOneCounts) {
  for (const char* other : {"postern-b+2-1.efi", "postern-b+0-3.efi"}) {
    for (const auto& names : {std::vector<std::string>{other, "postern-b.efi"},
                              std::vector<std::string>{"postern-b.efi", other}}) {
      EXPECT_EQ(find_slot_image(names, 'b').name, "postern-b.efi") << other;
    }
  }
}

TEST(SlotsTest, OfTwoNamesOnTrialTheOneWithFewerTriesCounts) {
  EXPECT_EQ(find_slot_image({"postern-b+2-1.efi", "postern-b+3.efi"}, 'b').name,
            "postern-b+2-1.efi");
}

TEST(SlotsTest, OtherFilesAreNoImageOfTheSlot) {
  for (const char* name :
       {"postern-a.efi", "postern-b.part", "postern-bb.efi", "postern-b", ".efi"})
    EXPECT_EQ(state_of(name), SlotState::absent) << name;
}

// What power cuts leave of images on an EFI partition (slots.hpp).
class SettledSlots : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "postern-slots-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    place = pattern;
    fs::create_directories(place + kernels_directory);
    put("postern-a.efi", "MZ a");
  }
  void TearDown() override { fs::remove_all(place); }
  void put(const std::string& name, const std::string& content) const {
    std::ofstream(place + kernels_directory + "/" + name) << content;
  }
  [[nodiscard]] std::map<std::string, std::string> settled() const {
    settle_slots(place);
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::directory_iterator(place + kernels_directory)) {
      std::ifstream file(entry.path());
      found[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    return found;
  }
  using Files = std::map<std::string, std::string>;
  std::string place;
};

TEST_F(SettledSlots, WhatIsWholeStays) {
  put("postern-b+2-1.efi", "MZ b");
  put("other.efi", "");
  EXPECT_EQ(settled(),
            (Files{{"postern-a.efi", "MZ a"}, {"postern-b+2-1.efi", "MZ b"}, {"other.efi", ""}}));
}

TEST_F(SettledSlots, WhatWasBeingWrittenOrRemovedGoes) {
  put("postern-b+3.efi", std::string(image_front_bytes, '\0') + "rest");
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"}}));
}

TEST_F(SettledSlots, WhatCannotBeReadStays) {
  const std::string path = place + kernels_directory + "/postern-b+3.efi";
  fs::create_directory(path);  // read(2) ends with EISDIR, as with EIO on a failing medium
  settle_slots(place);
  EXPECT_TRUE(fs::exists(path));
  EXPECT_EQ(slot_image(place, 'b').state, SlotState::on_trial);
}

TEST_F(SettledSlots, AnEmptyNewNameGoesAndTheOldOneCounts) {
  put("postern-b+2-1.efi", "MZ b");
  put("postern-b.efi", "");
  EXPECT_EQ(slot_image(place, 'b').state, SlotState::on_trial);
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"}, {"postern-b+2-1.efi", "MZ b"}}));
}

TEST_F(SettledSlots, OfTwoNamesOneCounts) {
  put("postern-b+2-1.efi", "MZ b");
  put("postern-b+3.efi", "MZ b");
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"},
                              {"postern-b+2-1.efi", "MZ b"},
                              {"postern-b+3.efi.twin", "MZ b"}}));
  put("postern-b.efi", "MZ b");
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"},
                              {"postern-b.efi", "MZ b"},
                              {"postern-b+2-1.efi.twin", "MZ b"},
                              {"postern-b+3.efi.twin", "MZ b"}}));
  ASSERT_TRUE(remove_slot_images(place + kernels_directory, 'b'));
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"}}));
}

// The slot that runs is 'a' here: no such thing stands on this machine's kernel command line.
TEST_F(SettledSlots, ASlotThatWasGoodAndIsDamagedGoesWithItsReason) {
  put("postern-b.efi", "MZ b");
  ASSERT_TRUE(call_damaged(place, 'b'));
  EXPECT_EQ(slot_image(place, 'b').state, SlotState::failed);
  EXPECT_EQ(slot_image(place, 'b').name, "postern-b+0.efi");
  const auto told = take_failed_update(place, false);
  ASSERT_TRUE(told);
  EXPECT_TRUE(told->starts_with("slot b ran before and is damaged")) << *told;
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"}}));
}

TEST_F(SettledSlots, AnUpdateThatFailedIsToldWithWhatItsFirstProcessLeft) {
  put("postern-b+0-3.efi", "MZ b");
  leave_early_reason(place, "its root is\x1b[2J odd");
  EXPECT_EQ(take_failed_update(place, true),
            "the update in slot b failed three times: its root is[2J odd");
  put("postern-b+0-3.efi", "MZ b");
  EXPECT_EQ(take_failed_update(place, true),
            "the update in slot b failed three times: it hung, and the watchdog started the box "
            "again");
  put("postern-b+0-3.efi", "MZ b");
  EXPECT_EQ(take_failed_update(place, false),
            "the update in slot b failed three times: it never came so far as to say why; it may "
            "hang");
}

TEST_F(SettledSlots, ATryThatNoBootLoaderCountedIsTheLastAndMayBeGoodAllTheSame) {
  put("postern-b+3.efi", "MZ b");
  ASSERT_TRUE(make_try_the_last(place, 'b'));
  EXPECT_EQ(slot_image(place, 'b').name, "postern-b+0-1.efi");
  EXPECT_FALSE(make_try_the_last(place, 'b'));
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"}, {"postern-b+0-1.efi", "MZ b"}}));
  const auto told = take_failed_update(place, false);
  ASSERT_TRUE(told);
  EXPECT_TRUE(told->starts_with("the update in slot b failed: ")) << *told;
}

// As the first process does before it leaves a slot: else the name with tries would start it again.
TEST_F(SettledSlots, ALastNameWhoseRenamingWasCutInHalfIsTheOnlyOneOnceSettled) {
  put("postern-b+3.efi", "MZ b");
  put("postern-b+0-1.efi", "MZ b");
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"},
                              {"postern-b+0-1.efi", "MZ b"},
                              {"postern-b+3.efi.twin", "MZ b"}}));
  EXPECT_FALSE(call_damaged(place, 'b'));
  put("postern-b.efi", "MZ b");
  EXPECT_EQ(settled(), (Files{{"postern-a.efi", "MZ a"},
                              {"postern-b.efi", "MZ b"},
                              {"postern-b+0-1.efi.twin", "MZ b"},
                              {"postern-b+3.efi.twin", "MZ b"}}));
  EXPECT_TRUE(call_damaged(place, 'b'));
  EXPECT_EQ(slot_image(place, 'b').name, "postern-b+0.efi");
}

TEST_F(SettledSlots, TriesThatAreCountedOrLeadNowhereStay) {
  put("postern-b+2-1.efi", "MZ b");
  EXPECT_FALSE(make_try_the_last(place, 'b'));
  put("postern-b+0-3.efi", "MZ b");
  EXPECT_FALSE(make_try_the_last(place, 'b'));
  fs::remove(place + kernels_directory + "/postern-a.efi");
  fs::remove(place + kernels_directory + "/postern-b+2-1.efi");
  put("postern-a+3.efi", "MZ a");
  EXPECT_FALSE(make_try_the_last(place, 'a'));  // of a fresh image: there is no other slot
  EXPECT_FALSE(make_try_the_last(place, 'b'));
}

TEST_F(SettledSlots, NoSlotIsCalledDamagedWhereTheOtherIsNotGood) {
  EXPECT_FALSE(call_damaged(place, 'a'));
  put("postern-b+2-1.efi", "MZ b");
  EXPECT_FALSE(call_damaged(place, 'a'));  // the other is on trial
  EXPECT_FALSE(call_damaged(place, 'b'));  // it has tries left that lead away from it
  EXPECT_EQ(slot_image(place, 'a').state, SlotState::good);
}

}  // namespace
}  // namespace postern::firmware
