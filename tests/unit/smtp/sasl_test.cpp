// PLAIN (RFC 4616) and LOGIN messages.
#include "relay/smtp/sasl.hpp"

#include <gtest/gtest.h>

#include "relay/base/encoding.hpp"

namespace postern::smtp {
namespace {

using namespace std::string_view_literals;

std::string plain(std::string_view message) {
  const auto credential = parse_plain(Secret(message));
  if (!credential) return credential.error() == SaslFault::syntax ? "syntax" : "credential";
  return credential->user_name + "/" + std::string(credential->password.text());
}

TEST(Sasl, PlainOfRfc4616Section2) {
  EXPECT_EQ(plain("\0tim\0tanstaaftanstaaf"sv), "tim/tanstaaftanstaaf");
  EXPECT_EQ(plain("tim\0tim\0p"sv), "tim/p");
  EXPECT_EQ(plain("\0j\xC3\xB6rg\0p\xC3\xA4ss"sv), "j\xC3\xB6rg/p\xC3\xA4ss");
}

TEST(Sasl, PlainForSomebodyElseIsNoCredential) {
  EXPECT_EQ(plain("root\0tim\0p"sv), "credential");
  EXPECT_EQ(plain("Tim\0tim\0p"sv), "credential");
}

TEST(Sasl, MalformedPlainIsASyntaxFault) {
  for (const auto message : {""sv, "tim"sv, "\0tim"sv, "\0\0"sv, "\0tim\0"sv, "\0\0p"sv,
                             "\0tim\0p\0"sv, "\0tim\0p\0q"sv}) {
    EXPECT_EQ(plain(message), "syntax");
  }
}

TEST(Sasl, UserNamesAreBoundedAndClean) {
  EXPECT_EQ(plain("\0"
                  "a\nb\0p"sv),
            "credential");
  EXPECT_EQ(plain("\0a\xFF\0p"sv), "credential");
  EXPECT_EQ(plain("\0a\xC2\x9B\0p"sv), "credential");  // C1: a terminal would obey it
  const std::string long_name(255, 'u');
  EXPECT_EQ(plain(std::string(1, '\0') + long_name + std::string(1, '\0') + "p"), long_name + "/p");
  EXPECT_EQ(plain(std::string(1, '\0') + long_name + "u" + std::string(1, '\0') + "p"),
            "credential");
  const std::string start("\0u\0", 3);
  EXPECT_NE(plain(start + std::string(password_bytes_max, 'p')), "credential");
  EXPECT_EQ(plain(start + std::string(password_bytes_max + 1, 'p')), "credential");
}

TEST(Sasl, LoginTakesTheAnswersAsTheyAre) {
  EXPECT_EQ(*parse_login_user_name(Secret("scan@office.example"sv)), "scan@office.example");
  EXPECT_EQ(parse_login_user_name(Secret(""sv)).error(), SaslFault::syntax);
  EXPECT_EQ(parse_login_user_name(Secret("a\0b"sv)).error(), SaslFault::credential);
  EXPECT_EQ(parse_login_password(Secret("hush"sv))->text(), "hush");
  EXPECT_EQ(parse_login_password(Secret("hu\0sh"sv)).error(), SaslFault::credential);
}

TEST(Sasl, ThePromptsAreWhatDevicesCompareWith) {
  EXPECT_EQ(as_text(*decode_base64(login_user_name_prompt)), "Username:");
  EXPECT_EQ(as_text(*decode_base64(login_password_prompt)), "Password:");
}

TEST(Sasl, AnEqualsSignIsAnEmptyInitialResponseOnly) {  // RFC 4954 §4
  EXPECT_TRUE(decode_initial_response("=")->empty());
  EXPECT_EQ(decode_response("=").error(), SaslFault::syntax);
  EXPECT_TRUE(decode_response("")->empty());
  EXPECT_EQ(decode_response("aGk=")->text(), "hi");
  EXPECT_EQ(decode_response("aGk").error(), SaslFault::syntax);
}

}  // namespace
}  // namespace postern::smtp
