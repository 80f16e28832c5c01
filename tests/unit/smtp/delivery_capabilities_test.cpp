// What an upstream says it can do, read from its answer to EHLO.
#include "relay/smtp/delivery_capabilities.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace postern::smtp {
namespace {

DeliveryCapabilities of(std::vector<std::string> lines) {
  lines.insert(lines.begin(), "upstream.example");
  Reply reply;
  reply.code = 250;
  reply.lines = std::move(lines);
  return DeliveryCapabilities::parse(reply);
}

TEST(DeliveryCapabilities, LimitsAreReadByName) {  // RFC 9422 §4
  const DeliveryCapabilities both = of({"LIMITS MAILMAX=20 RCPTMAX=100"});
  EXPECT_EQ(both.transactions_max, 20U);
  EXPECT_EQ(both.recipients_max, 100U);
  const DeliveryCapabilities one = of({"limits RCPTDOMAINMAX=1 mailmax=7"});
  EXPECT_EQ(one.transactions_max, 7U);
  EXPECT_FALSE(one.recipients_max);
}

TEST(DeliveryCapabilities, ALimitThatIsNoPositiveNumberIsNoLimit) {  // RFC 9422 §4
  for (const char* line : {"LIMITS", "LIMITS MAILMAX", "LIMITS MAILMAX=", "LIMITS MAILMAX=0",
                           "LIMITS MAILMAX=-1", "LIMITS MAILMAX=1x", "MAILMAX=3",
                           "LIMITS MAILMAX=99999999999999999999999", "LIMITSMAILMAX=3"}) {
    EXPECT_FALSE(of({line}).transactions_max) << line;
  }
}

TEST(DeliveryCapabilities, ASizeOfZeroMeansNoFixedBound) {  // RFC 1870 §4
  EXPECT_TRUE(of({"SIZE 0"}).size);
  EXPECT_FALSE(of({"SIZE 0"}).message_bytes_max);
  EXPECT_EQ(of({"SIZE 35882577"}).message_bytes_max, 35'882'577U);
  EXPECT_FALSE(of({"SIZE lots"}).message_bytes_max);
}

TEST(DeliveryCapabilities, TheGreetingLineIsNoKeyword) {  // RFC 5321 §4.1.1.1
  Reply reply;
  reply.code = 250;
  reply.lines = {"STARTTLS AUTH PLAIN", "PIPELINING"};
  const DeliveryCapabilities read = DeliveryCapabilities::parse(reply);
  EXPECT_FALSE(read.starttls);
  EXPECT_TRUE(read.pipelining);
}

}  // namespace
}  // namespace postern::smtp
