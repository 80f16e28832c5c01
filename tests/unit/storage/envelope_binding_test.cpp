// The octets that a message's key is bound to: different for every other envelope, the same for all
// that happens to a message while it waits.
#include "storage/envelope_binding.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "storage_fixture.hpp"

namespace postern::storage {
namespace {

TEST(EnvelopeBinding, DiffersWhereverTheEnvelopeDiffers) {
  const auto changes = std::to_array<std::function<void(NewMessage&)>>({
      [](NewMessage&) {},
      [](NewMessage& message) { message.user_name = "scanneq"; },
      [](NewMessage& message) { message.sender.reverse_path = ""; },
      [](NewMessage& message) { message.sender.parameters = "BODY=7BIT"; },
      // The same letters one after the other, cut elsewhere.
      [](NewMessage& message) {
        message.user_name += message.sender.reverse_path;
        message.sender.reverse_path = "";
      },
      [](NewMessage& message) { message.recipients[0].address = "anno@far.example"; },
      [](NewMessage& message) { message.recipients[0].parameters = "NOTIFY=NEVER"; },
      [](NewMessage& message) { message.recipients[1].index = 2; },
      [](NewMessage& message) { std::swap(message.recipients[0], message.recipients[1]); },
      [](NewMessage& message) { message.recipients.pop_back(); },
      [](NewMessage& message) { message.recipients.push_back(message.recipients[0]); },
  });
  std::vector<Bytes> seen;
  for (const auto& change : changes) {
    NewMessage message = make_message(1);
    change(message);
    const Bytes bound = envelope_binding(message);
    EXPECT_EQ(std::ranges::find(seen, bound), seen.end()) << "change " << seen.size();
    seen.push_back(bound);
  }
}

TEST(EnvelopeBinding, IsTheSameWhateverBecameOfTheMessage) {
  const StateDirectory directory;
  const auto store = open_or_abort(directory);
  const NewMessage message = make_message(1);
  ASSERT_TRUE(commit_message(*store, message));
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->record(make_record(1, RecipientState::relayed, RecipientState::waiting)));
  ASSERT_TRUE(store->set_held(QueueId{1}, true));
  ASSERT_TRUE(store->commit());
  const auto loaded = store->load(QueueId{1});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->recipients[0].state, RecipientState::relayed);
  EXPECT_EQ(envelope_binding(*loaded), envelope_binding(message));
}

// Octet by octet: the release before opens with it what this one takes.
TEST(EnvelopeBinding, IsWrittenAsEveryReleaseReadsIt) {
  StoredRecipient recipient;
  recipient.index = 1;
  recipient.address = "a@b";
  recipient.parameters = "NOTIFY=NEVER";
  constexpr char expected[] =
      "\7\0\0\0\0\0\0\0scanner"
      "\3\0\0\0\0\0\0\0s@o"
      "\11\0\0\0\0\0\0\0BODY=7BIT"
      "\1\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0"
      "\3\0\0\0\0\0\0\0a@b"
      "\14\0\0\0\0\0\0\0NOTIFY=NEVER";
  const Bytes bound =
      envelope_binding("scanner", {.reverse_path = "s@o", .parameters = "BODY=7BIT"}, {recipient});
  EXPECT_EQ(as_text(bound), std::string_view(expected, sizeof expected - 1));
}

}  // namespace
}  // namespace postern::storage
