// Damage that no power cut does: it is told, never delivered.
#include <gtest/gtest.h>

#include "tests/fault/workload.hpp"

namespace postern::fault {
namespace {

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(client.open());
    recipe = client.ledger().new_message(5'000, true);
    Bytes octets;
    const storage::NewMessage message = client.ledger().mail().make(recipe, octets);
    ASSERT_TRUE(client.store()->append_to_spool(1, octets));
    ASSERT_TRUE(client.store()->begin());
    ASSERT_TRUE(client.store()->insert(message, 1));
    ASSERT_TRUE(client.store()->commit());
    QueueState state;
    state.messages[recipe.number] = MessageState{};
    client.ledger().committed(state);
    body = folder.state() + "/spool/" + QueueId{recipe.number}.text() + ".body";
    client.close();
  }
  RealFolder folder;
  Client client{folder, 1};
  Recipe recipe;
  std::string body;
};

TEST_F(Damage, ASpoolFileThatIsGoneIsQuarantinedAndTold) {
  client.disk().lose(body);
  client.open();
  EXPECT_EQ(client.violation(), "mail was quarantined at the start");
  ASSERT_EQ(client.store()->open_report().quarantined.size(), 1U);
  EXPECT_EQ(client.store()->open_report().quarantined.front(), QueueId{recipe.number});
}

TEST_F(Damage, AFlippedBitIsSeenBeforeTheBodyIsUsed) {
  client.disk().flip_bit(body, 3'000);
  client.open();
  EXPECT_NE(client.violation().find("its body"), std::string::npos) << client.violation();
}

TEST_F(Damage, NothingIsWrongWithoutIt) {
  EXPECT_TRUE(client.open());
  EXPECT_EQ(client.violation(), "");
}

// The medium cannot be read just now: that is no reason to give up the mail on it.
TEST_F(Damage, AReadErrorAtTheStartQuarantinesNothing) {
  for (std::uint64_t nth = 1;; ++nth) {
    client.disk().plan_fault({Fault::io_error, nth, false});
    client.open();
    const bool met = client.disk().fault_met();
    client.disk().heal();
    client.close();
    EXPECT_TRUE(client.open());
    client.close();
    ASSERT_EQ(client.violation(), "") << nth;
    if (!met) return;
  }
}

}  // namespace
}  // namespace postern::fault
