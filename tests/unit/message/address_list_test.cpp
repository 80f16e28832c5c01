// Addresses out of From fields (RFC 5322 §3.4): rights to send hang on them, so doubt gives
// nothing.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "relay/message/header.hpp"

namespace postern::message {
namespace {

using Addresses = std::vector<std::string>;

std::optional<Addresses> in(std::string_view value) {
  return addresses_in(HeaderField{"From: " + std::string(value) + "\r\n", 4});
}

TEST(AddressList, ReadsTheFormsOfTheStandard) {
  EXPECT_EQ(in("a@b.example"), Addresses{"a@b.example"});
  EXPECT_EQ(in("<a@b.example>"), Addresses{"a@b.example"});
  EXPECT_EQ(in("Anna B. Cee <a.b@c.example>"), Addresses{"a.b@c.example"});
  EXPECT_EQ(in("\"Cee, Anna <x@y>\" <a@c.example>"), Addresses{"a@c.example"});
  EXPECT_EQ(in("=?utf-8?q?B=C3=BCro?= <a@c.example>"), Addresses{"a@c.example"});
  EXPECT_EQ(in("a@b.example, C <d@e.example>"), (Addresses{"a@b.example", "d@e.example"}));
  EXPECT_EQ(in("a@[192.0.2.1]"), Addresses{"a@[192.0.2.1]"});
  EXPECT_EQ(in("Folded\r\n\tName\r\n <a@c.example>"), Addresses{"a@c.example"});
}

TEST(AddressList, ReadsGroups) {  // RFC 5322 §3.4, RFC 6854
  EXPECT_EQ(in("Office: a@b.example, C <d@e.example>;"), (Addresses{"a@b.example", "d@e.example"}));
  EXPECT_EQ(in("nobody:;"), Addresses{});
  EXPECT_EQ(in("x@y.example, Office: a@b.example;, z@y.example"),
            (Addresses{"x@y.example", "a@b.example", "z@y.example"}));
  EXPECT_EQ(in("Office: a@b.example"), std::nullopt);
  EXPECT_EQ(in("One: Two: a@b.example;;"), std::nullopt);
}

TEST(AddressList, SkipsComments) {
  EXPECT_EQ(in("(x@y) a(one (two) \\) three)@(four)b.example (end)"), Addresses{"a@b.example"});
  EXPECT_EQ(in("a@b.example (open"), std::nullopt);
  EXPECT_EQ(in("a@b.example (ends in \\"), std::nullopt);
  EXPECT_EQ(in(std::string(32, '(') + std::string(32, ')') + "a@b.example"),
            Addresses{"a@b.example"});
  EXPECT_EQ(in(std::string(33, '(') + std::string(33, ')') + "a@b.example"), std::nullopt);
}

TEST(AddressList, KeepsQuotesOnlyWhereTheyAreNeeded) {
  EXPECT_EQ(in("\"anna\"@b.example"), Addresses{"anna@b.example"});
  EXPECT_EQ(in("\"an na\\\"x\"@b.example"), Addresses{"\"an na\\\"x\"@b.example"});
  EXPECT_EQ(in("\"a@b\"@c.example"), Addresses{"\"a@b\"@c.example"});
  EXPECT_EQ(in("\"\"@c.example"), Addresses{"\"\"@c.example"});
}

TEST(AddressList, ReadsObsoleteForms) {  // RFC 5322 §4.4
  EXPECT_EQ(in("a . b @ c . example"), Addresses{"a.b@c.example"});
  EXPECT_EQ(in(" , a@b.example,,"), Addresses{"a@b.example"});
}

TEST(AddressList, ReadsInternationalAddresses) {  // RFC 6532 §3.2
  EXPECT_EQ(in("Jürgen <jürgen@büro.example>"), Addresses{"jürgen@büro.example"});
  EXPECT_EQ(in("J\xfcrgen <j@b.example>"), Addresses{"j@b.example"}) << "Latin-1 only in the name";
  EXPECT_EQ(in("j\xfc@b.example"), std::nullopt);
}

TEST(AddressList, GivesNothingInDoubt) {
  for (const std::string_view value : {"",
                                       "   ",
                                       ",",
                                       "Scanner",
                                       "Scanner, a@b.example",
                                       "<>",
                                       "a@",
                                       "@b.example",
                                       "a@b@c.example",
                                       "a b@c.example",
                                       "a..b@c.example",
                                       ".a@c.example",
                                       "a.@c.example",
                                       "a@b..example",
                                       "a@b.example.",
                                       "a@.example",
                                       "<a@b.example",
                                       "a@b.example>",
                                       "A <a@b.example> B",
                                       "a@b.example c@d.example",
                                       "<a@b.example> <c@d.example>",
                                       "\"open <a@b.example>",
                                       "a@[1.2.3.4",
                                       "a@[[1]]",
                                       "x;",
                                       "a@b.example;",
                                       "A: B <a@b.example>; C",
                                       "\\a@b.example",
                                       "<@one.example a@b.example>",
                                       "<@one.example,@two.example:a@b.example>",
                                       "Boss <@boss@bank.example:a@b.example>",
                                       "a@b.example\x01",
                                       "\"a\x01\"@b.example"}) {
    EXPECT_EQ(in(value), std::nullopt) << value;
  }
}

TEST(AddressList, IsBounded) {
  std::string list = "a@b.example";
  for (int i = 0; i < 2'000; ++i) list += ",a@b.example";
  EXPECT_EQ(in(list), std::nullopt);
}

}  // namespace
}  // namespace postern::message
