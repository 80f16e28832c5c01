// Mailboxes, domains and address literals of RFC 5321 §4.1.2 and §4.1.3.
#include "relay/smtp/address.hpp"

#include <gtest/gtest.h>

namespace postern::smtp {
namespace {

using namespace std::string_view_literals;

std::string round_trip(std::string_view text, bool allow_utf8 = false) {
  const auto mailbox = parse_mailbox(text, allow_utf8);
  return mailbox ? mailbox->text() : "refused";
}

TEST(Address, TheDomainIsLoweredAndTheLocalPartKept) {
  EXPECT_EQ(round_trip("Scan.Er+tag@OFFICE.Example"), "Scan.Er+tag@office.example");
  EXPECT_EQ(round_trip("a@b"), "a@b");
  EXPECT_EQ(round_trip("!#$%&'*+-/=?^_`{|}~@x.example"), "!#$%&'*+-/=?^_`{|}~@x.example");
}

TEST(Address, RoutesInTheLocalPartArePlainCharacters) {
  EXPECT_EQ(parse_mailbox("far%user@office.example", false)->local_part, "far%user");
  EXPECT_EQ(parse_mailbox("host!user@office.example", false)->domain, "office.example");
}

TEST(Address, QuotingIsRemovedAndPutBackWhereItMustBe) {
  const auto mailbox = parse_mailbox("\"front \\\"desk\\\" a@b\"@x.example", false);
  ASSERT_TRUE(mailbox);
  EXPECT_EQ(mailbox->local_part, "front \"desk\" a@b");
  EXPECT_EQ(mailbox->text(), "\"front \\\"desk\\\" a@b\"@x.example");
  EXPECT_EQ(round_trip("\"plain\"@x.example"), "plain@x.example");
  EXPECT_EQ(round_trip("\"a..b\"@x.example"), "\"a..b\"@x.example");
}

TEST(Address, MalformedMailboxesAreRefused) {
  for (const auto text :
       {""sv,          "@"sv,      "a"sv,         "a@"sv,    "@b"sv,           ".a@b"sv,
        "a.@b"sv,      "a..b@c"sv, "a b@c"sv,     "a@b c"sv, "a@-b"sv,         "a@b-"sv,
        "a@b..c"sv,    "a@.b"sv,   "a@b."sv,      "a@b_c"sv, "<a@b>"sv,        "a@b>"sv,
        "\"a@b"sv,     "\"\"@b"sv, "\"a\"b@c"sv,  "\"a\\"sv, "\"a\r\nb\"@c"sv, "a\0b@c"sv,
        "\"a\0\"@b"sv, "a@b\0c"sv, "a@[1.2.3]"sv, "a@b@c"sv, "a@b\r\n"sv,      "a,b@c"sv,
        "a@b,c"sv}) {
    EXPECT_EQ(round_trip(text, true), "refused") << text;
  }
}

TEST(Address, SizesOfRfc5321Section4_5_3_1) {
  const std::string label(63, 'd');
  EXPECT_NE(round_trip(std::string(64, 'a') + "@b"), "refused");
  EXPECT_EQ(round_trip(std::string(65, 'a') + "@b"), "refused");
  EXPECT_NE(round_trip("a@" + label + ".example"), "refused");
  EXPECT_EQ(round_trip("a@d" + label + ".example"), "refused");
  const std::string domain = label + "." + label + "." + label + "." + std::string(60, 'e');
  ASSERT_EQ(domain.size(), 252U);
  EXPECT_NE(round_trip("a@" + domain), "refused");  // 254, and 256 with the angle brackets
  EXPECT_EQ(round_trip("ab@" + domain), "refused");
  EXPECT_TRUE(is_valid_domain(domain + "eee", false));
  EXPECT_FALSE(is_valid_domain(domain + "ee.e", false));
}

TEST(Address, Utf8OnlyWhereItIsAllowedAndWellFormed) {  // RFC 6531 §3.3
  const auto text = "j\xC3\xB6rg@b\xC3\xBCro.example"sv;
  EXPECT_EQ(round_trip(text, true), text);
  EXPECT_EQ(round_trip(text, false), "refused");
  EXPECT_TRUE(parse_mailbox(text, true)->needs_smtputf8());
  EXPECT_FALSE(parse_mailbox("a@b", true)->needs_smtputf8());
  EXPECT_EQ(round_trip("a\xC3@b", true), "refused");
  EXPECT_EQ(round_trip("a\xC2\x85@b", true), "refused");  // a C1 control: "next line"
  EXPECT_EQ(round_trip("\"a\xED\xA0\x80\"@b", true), "refused");
}

TEST(Address, LiteralsOfRfc5321Section4_1_3) {
  EXPECT_TRUE(is_address_literal("[192.0.2.1]"));
  EXPECT_TRUE(is_address_literal("[IPv6:2001:db8::1]"));
  EXPECT_EQ(round_trip("a@[IPv6:2001:DB8::1]"), "a@[ipv6:2001:db8::1]");
  for (const auto text :
       {"[]"sv, "[192.0.2.256]"sv, "[192.0.2]"sv, "192.0.2.1"sv, "[2001:db8::1]"sv, "[IPv6:]"sv,
        "[IPv6:x]"sv, "[x:y]"sv, "[192.0.2.1"sv, "[192.0.2.1\0]"sv}) {
    EXPECT_FALSE(is_address_literal(text)) << text;
  }
}

TEST(Address, SameMailboxIgnoresAsciiCase) {
  EXPECT_TRUE(same_mailbox(*parse_mailbox("Anna@far.example", false),
                           *parse_mailbox("anna@FAR.example", false)));
  EXPECT_FALSE(same_mailbox(*parse_mailbox("anna@far.example", false),
                            *parse_mailbox("anne@far.example", false)));
}

}  // namespace
}  // namespace postern::smtp
