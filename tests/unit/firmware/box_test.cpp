// The notice that a person reads on the EFI partition.
#include "firmware/init/box.hpp"

#include <string>

#include "gtest/gtest.h"

namespace postern::firmware {
namespace {

Notice notice() {
  Notice made;
  made.box = {"0123456789abcdef", "AA:BB"};
  made.address = "192.0.2.7";
  return made;
}

TEST(NoticeTest, ABoxWithoutAConfigurationSaysHowToGiveItOne) {
  const std::string text = notice_text(notice());
  for (const char* part :
       {"0123456789abcdef", "192.0.2.7", "SHA-256 AA:BB", "postern.toml", "no port is open"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
}

TEST(NoticeTest, AConfiguredBoxShowsWhatToPublish) {
  Notice made = notice();
  made.configured = true;
  made.dns_records = "Name:  p0._domainkey.office.example\n";
  const std::string text = notice_text(made);
  EXPECT_NE(text.find(made.dns_records), std::string::npos);
  EXPECT_EQ(text.find("no port is open"), std::string::npos);
}

TEST(NoticeTest, ARefusedDropIsNamedWhetherOrNotAnotherIsInForce) {
  Notice made = notice();
  made.refused = true;
  for (const bool configured : {false, true}) {
    made.configured = configured;
    EXPECT_NE(notice_text(made).find("POSTERN-PROBLEMS.TXT"), std::string::npos);
  }
}

TEST(NoticeTest, ABoxThatTakesNoMailSaysSoFirst) {
  Notice made = notice();
  made.configured = true;
  made.trouble = "no mail is taken";
  EXPECT_LT(notice_text(made).find("TROUBLE: no mail is taken"), notice_text(made).find("Address"));
  made.box = {};  // its data partition cannot be opened, so it knows nothing else of itself
  const std::string text = notice_text(made);
  EXPECT_TRUE(text.contains("TROUBLE: no mail is taken"));
  for (const char* part : {"Address", "Fingerprint", "configuration"})
    EXPECT_FALSE(text.contains(part)) << part;
}

TEST(ValueBehindTest, IsTheRestOfTheLine) {
  EXPECT_EQ(value_behind("a\nIts fingerprint: AA:BB \nb", "fingerprint:"), "AA:BB");
  EXPECT_EQ(value_behind("a\n", "fingerprint:"), "");
}

}  // namespace
}  // namespace postern::firmware
