// What a user may do, and the words of the refusals.
#include <gtest/gtest.h>

#include "tests/unit/policy/policy_support.hpp"

namespace postern::policy {
namespace {

User copier() {
  User user;
  user.name = "copier-2";
  user.senders = {pattern("scan@office.example"), pattern("*@copiers.office.example")};
  user.recipients = {pattern("*@office.example"), pattern("anna@far.example")};
  return user;
}

using Addresses = std::optional<std::vector<std::string>>;

TEST(User, ConnectsFromAnywhereWhenNoAddressesAreGiven) {
  EXPECT_TRUE(may_connect_from(copier(), ip("203.0.113.5")));
  EXPECT_TRUE(may_connect_from(copier(), ip("2001:db8::1")));
}

TEST(User, ConnectsOnlyFromItsAddresses) {
  User user = copier();
  user.addresses = {block("192.168.10.0/24"), block("2001:db8::/64")};
  EXPECT_TRUE(may_connect_from(user, ip("192.168.10.200")));
  EXPECT_TRUE(may_connect_from(user, ip("2001:db8::99")));
  EXPECT_FALSE(may_connect_from(user, ip("192.168.11.1")));
  EXPECT_FALSE(may_connect_from(user, ip("2001:db8:0:1::1")));
}

TEST(User, IsTheSameUntilItsCredentialOrARightChanges) {
  const auto changed = [](const auto& change) {
    User user = copier();
    change(user);
    return !same_credential_and_rights(copier(), user);
  };
  EXPECT_FALSE(changed([](User&) {}));
  EXPECT_FALSE(changed([](User& user) { user.rates.messages_per_minute_max = 1; }));
  EXPECT_FALSE(changed([](User& user) { user.owner = mailbox("it@office.example"); }));
  EXPECT_TRUE(changed([](User& user) {
    user.password = *crypto::PasswordVerifier::parse(
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLg$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  }));
  EXPECT_TRUE(changed([](User& user) { user.senders.pop_back(); }));
  EXPECT_TRUE(changed([](User& user) { user.senders[0] = pattern("*"); }));
  EXPECT_TRUE(changed([](User& user) { user.recipients.pop_back(); }));
  EXPECT_TRUE(changed([](User& user) { user.addresses = {block("192.168.10.0/24")}; }));
  EXPECT_TRUE(changed([](User& user) { user.bare_newline = smtp::BareNewline::normalize; }));
}

TEST(User, MaySendAsItsSenders) {
  EXPECT_EQ(check_sender(copier(), from("scan@office.example")), std::nullopt);
  EXPECT_EQ(check_sender(copier(), from("SCAN@office.example")), std::nullopt);
  EXPECT_EQ(check_sender(copier(), from("third-floor@copiers.office.example")), std::nullopt);
}

TEST(User, MayNotSendAsOthersAndTheReplySaysWhatToChange) {
  // RFC 6409 §6.1: 550 5.7.1.
  const auto reply = check_sender(copier(), from("boss@office.example"));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(),
            "550 5.7.1 user copier-2 may not send as boss@office.example; add the address to "
            "senders in the relay's configuration");
}

TEST(User, MayNotSendWithTheNullReversePathEvenWithAStar) {
  User user = copier();
  user.senders = {pattern("*")};
  EXPECT_EQ(check_sender(user, from("anyone@far.example")), std::nullopt);
  const auto reply = check_sender(user, smtp::ReversePath{});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->code, 550);
  EXPECT_EQ(reply->enhanced, (smtp::EnhancedStatus{5, 7, 1}));
  EXPECT_NE(reply->text().find("<>"), std::string::npos);
}

TEST(User, AnEmptyListNeverMeansEverything) {
  User user = copier();
  user.senders.clear();
  user.recipients.clear();
  EXPECT_TRUE(check_sender(user, from("scan@office.example")));
  EXPECT_TRUE(check_recipient(user, mailbox("anna@far.example")));
  EXPECT_TRUE(check_author_field(user, "From", Addresses({"scan@office.example"})));
}

TEST(User, MaySendToItsRecipientsOnly) {
  EXPECT_EQ(check_recipient(copier(), mailbox("anyone@office.example")), std::nullopt);
  EXPECT_EQ(check_recipient(copier(), mailbox("Anna@far.example")), std::nullopt);
  const auto reply = check_recipient(copier(), mailbox("bob@far.example"));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(),
            "550 5.7.1 user copier-2 may not send to bob@far.example; add the address to "
            "recipients in the relay's configuration");
}

TEST(HeaderFrom, IsAcceptedWhenEveryMailboxIsASender) {
  EXPECT_EQ(check_author_field(copier(), "From", Addresses({"scan@office.example"})), std::nullopt);
  EXPECT_EQ(check_author_field(copier(), "From",
                               Addresses({"scan@office.example", "x@copiers.office.example"})),
            std::nullopt);
}

TEST(HeaderFrom, IsRefusedWhenOneMailboxIsNot) {
  const auto reply = check_author_field(copier(), "From",
                                        Addresses({"scan@office.example", "boss@office.example"}));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text(),
            "550 5.7.1 user copier-2 may not send with boss@office.example in the From field; add "
            "the address to senders in the relay's configuration");
}

TEST(HeaderFrom, ARefusalNamesTheField) {
  const auto reply = check_author_field(copier(), "Sender", Addresses({"boss@office.example"}));
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->text().find("boss@office.example in the Sender field;"), std::string::npos);
  EXPECT_NE(check_author_field(copier(), "Sender", Addresses())->text().find("whose Sender field"),
            std::string::npos);
}

TEST(HeaderFrom, IsRefusedWhenItCannotBeUnderstood) {
  for (const auto& addresses : {Addresses(), Addresses(std::vector<std::string>()),
                                Addresses({"scan"}), Addresses({"scan@office.example", ""})}) {
    const auto reply = check_author_field(copier(), "From", addresses);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->code, 550);
    EXPECT_EQ(reply->enhanced, (smtp::EnhancedStatus{5, 7, 1}));
  }
}

TEST(User, ALongAddressLeavesTheAdviceInTheReplyLine) {
  // RFC 5321 §4.5.3.1.5: 512 octets a reply line, and the advice stands at its end.
  User user = copier();
  user.name = std::string(255, 'u');
  const std::string label(60, 'd');
  const std::string domain = label + "." + label + "." + label + "." + label;
  const auto reply =
      check_sender(user, smtp::ReversePath{smtp::Mailbox{std::string(64, 'l'), domain}});
  ASSERT_TRUE(reply);
  EXPECT_LE(reply->wire().size(), 512U);
  EXPECT_TRUE(reply->wire().ends_with("in the relay's configuration\r\n"));
}

TEST(UserDirectory, NamesAreComparedExactlyAndLookedUpByView) {
  UserDirectory users;
  users["copier-2"] = copier();
  EXPECT_NE(users.find(std::string_view("copier-2")), users.end());
  EXPECT_EQ(users.find(std::string_view("Copier-2")), users.end());
}

}  // namespace
}  // namespace postern::policy
