// The names that boot counting gives to the slots' kernel images.
#include "firmware/init/slots.hpp"

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

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

TEST(SlotsTest, OtherFilesAreNoImageOfTheSlot) {
  for (const char* name :
       {"postern-a.efi", "postern-b.part", "postern-bb.efi", "postern-b", ".efi"})
    EXPECT_EQ(state_of(name), SlotState::absent) << name;
}

}  // namespace
}  // namespace postern::firmware
