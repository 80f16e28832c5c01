// Address patterns of the configuration: what they match, and what is no pattern.
#include <gtest/gtest.h>

#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

TEST(AddressPattern, AStarAloneMatchesEveryMailbox) {
  EXPECT_TRUE(pattern("*").matches(mailbox("scan@office.example")));
  EXPECT_TRUE(pattern("*").matches(mailbox("\"a b\"@far.example")));
  EXPECT_TRUE(pattern("*").matches(mailbox("a@[192.0.2.1]")));
}

TEST(AddressPattern, AMailboxMatchesItselfOnly) {
  const auto scan = pattern("scan@office.example");
  EXPECT_TRUE(scan.matches(mailbox("scan@office.example")));
  EXPECT_FALSE(scan.matches(mailbox("scan2@office.example")));
  EXPECT_FALSE(scan.matches(mailbox("sca@office.example")));
  EXPECT_FALSE(scan.matches(mailbox("scan@office.example.org")));
  EXPECT_FALSE(scan.matches(mailbox("scan@sub.office.example")));
}

TEST(AddressPattern, ADeviceThatShoutsIsTheSameDevice) {
  EXPECT_TRUE(pattern("scan@office.example").matches(mailbox("SCAN@OFFICE.EXAMPLE")));
  EXPECT_TRUE(pattern("SCAN@Office.Example").matches(mailbox("scan@office.example")));
  EXPECT_TRUE(pattern("*@OFFICE.example").matches(mailbox("scan@Office.EXAMPLE")));
  EXPECT_TRUE(pattern("*@*.OFFICE.example").matches(mailbox("scan@Floor1.Office.EXAMPLE")));
}

TEST(AddressPattern, ADomainMatchesNoSubdomainAndNoLookAlike) {
  const auto office = pattern("*@office.example");
  EXPECT_TRUE(office.matches(mailbox("anyone@office.example")));
  EXPECT_FALSE(office.matches(mailbox("anyone@floor1.office.example")));
  EXPECT_FALSE(office.matches(mailbox("anyone@evil-office.example")));
  EXPECT_FALSE(office.matches(mailbox("anyone@office.example.org")));
  EXPECT_FALSE(office.matches(mailbox("\"x@office.example\"@far.example")));
}

TEST(AddressPattern, SubdomainsMatchAtEveryDepthButNotTheDomainItself) {
  const auto below = pattern("*@*.office.example");
  EXPECT_TRUE(below.matches(mailbox("a@floor1.office.example")));
  EXPECT_TRUE(below.matches(mailbox("a@room2.floor1.office.example")));
  EXPECT_FALSE(below.matches(mailbox("a@office.example")));
  EXPECT_FALSE(below.matches(mailbox("a@evil-office.example")));
  EXPECT_FALSE(below.matches(mailbox("a@floor1.office.example.org")));
}

TEST(AddressPattern, AnAddressLiteralIsADomainToo) {
  EXPECT_TRUE(pattern("*@[192.0.2.1]").matches(mailbox("root@[192.0.2.1]")));
  EXPECT_FALSE(pattern("*@[192.0.2.1]").matches(mailbox("root@[192.0.2.2]")));
}

TEST(AddressPattern, AQuotedLocalPartMatchesItsUnquotedMeaning) {
  // RFC 5321 §4.1.2: quoting does not change which mailbox is meant.
  EXPECT_TRUE(pattern("\"scan\"@office.example").matches(mailbox("scan@office.example")));
}

TEST(AddressPattern, KeepsItsTextAsItWasWritten) {
  EXPECT_EQ(pattern("*@Office.Example").text(), "*@Office.Example");
  EXPECT_EQ(pattern("*").text(), "*");
}

TEST(AddressPattern, AStarAnywhereElseIsAnError) {
  for (const char* text :
       {"**", "*@", "*@*", "scan*@office.example", "*scan@office.example", "scan@*",
        "scan@*.office.example", "*@office.*", "*@*office.example", "*@a.*.example",
        "*@*.*.example", "*.office.example", "\"*\"@office.example", "* ", " *"}) {
    const auto parsed = AddressPattern::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::invalid) << text;
  }
}

TEST(AddressPattern, WhatIsNoAddressIsAnErrorThatShowsTheForms) {
  for (const char* text : {"", "office.example", "@office.example", "scan@", "scan", "a@b@c",
                           "<scan@office.example>", "*@.example", "*@*.", "*@-", "*@*.[192.0.2.1]",
                           "*@a..b", "scan@office.example ", "scan@office.example\n"}) {
    const auto parsed = AddressPattern::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().detail.find("*@*.domain"), std::string::npos) << text;
  }
}

TEST(AddressPattern, AnEndlessTextIsRefusedAndQuotedOnlyInPart) {
  const auto parsed = AddressPattern::parse("*@" + std::string(100'000, 'a'));
  ASSERT_FALSE(parsed);
  EXPECT_LT(parsed.error().text().size(), 400U);
}

TEST(AddressPattern, AnyOfAListIsEnoughAndAnEmptyListMatchesNothing) {
  const std::vector list = {pattern("a@x.example"), pattern("*@y.example")};
  EXPECT_TRUE(any_matches(list, mailbox("a@x.example")));
  EXPECT_TRUE(any_matches(list, mailbox("b@y.example")));
  EXPECT_FALSE(any_matches(list, mailbox("b@x.example")));
  EXPECT_FALSE(any_matches({}, mailbox("a@x.example")));
}

}  // namespace
}  // namespace postern::policy
