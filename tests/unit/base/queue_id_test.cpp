// Queue ids: 13 characters that sort by time and survive being read aloud.
#include "relay/base/queue_id.hpp"

#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::chrono_literals;

TEST(QueueId, TextAndBackForTheWholeRange) {
  for (const std::uint64_t value : {0ULL, 1ULL, 31ULL, 32ULL, 0x0123456789ABCDEFULL, ~0ULL}) {
    const QueueId id{value};
    EXPECT_EQ(id.text().size(), 13U);
    EXPECT_EQ(QueueId::parse(id.text()), id);
  }
  EXPECT_EQ(QueueId{~0ULL}.text(), "FZZZZZZZZZZZZ");
}

TEST(QueueId, SortsByTimeAlsoAsText) {
  const WallTime now(1'800'000'000'000ms);
  const QueueId earlier = QueueId::make(now, ~0U);
  const QueueId later = QueueId::make(now + 1ms, 0);
  EXPECT_LT(earlier, later);
  EXPECT_LT(earlier.text(), later.text());
  EXPECT_NE(QueueId::make(now, 1), QueueId::make(now, 2));
}

TEST(QueueId, AnyCaseAndLookAlikesAreTaken) {
  EXPECT_EQ(QueueId::parse("00000000000oi"), QueueId{1});
  EXPECT_EQ(QueueId::parse("00000000000az"), QueueId::parse("00000000000AZ"));
}

TEST(QueueId, EverythingElseIsRefused) {
  for (const auto* text : {"", "0", "000000000000", "00000000000000", "G000000000000",
                           "000000000000U", "00000000000-0", "000000000000 "}) {
    EXPECT_FALSE(QueueId::parse(text)) << text;
  }
}

TEST(QueueId, AClockBefore1970IsTaken) { EXPECT_EQ(QueueId::make(WallTime(-5ms), 7), QueueId{7}); }

}  // namespace
}  // namespace postern
