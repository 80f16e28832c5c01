// Files that are no UTF-8 text, and the same address in two spellings.
#include <gtest/gtest.h>

#include "tests/unit/config/config_support.hpp"

namespace postern::config {
namespace {

using namespace std::string_literals;

TEST(TextForm, Utf16AndBinaryFilesAreToldAsSuch) {
  for (const std::string& text : {"\xff\xfe[\0s\0"s, "\xfe\xff\0[\0s"s, "[\0s\0]\0"s}) {
    EXPECT_EQ(problems_text(load(text)),
              "etc/postern.toml: this file is not UTF-8 text (UTF-16?); save it as UTF-8\n");
  }
}

TEST(TextForm, ALineInAnotherEncodingIsTold) {
  EXPECT_EQ(
      problems_text(load("[server]\n# B\xfcro\n")),
      "etc/postern.toml:2:1: this line is not UTF-8 text (Latin-1?); save the file as UTF-8\n");
}

TEST(TextForm, OneAddressInTwoSpellingsIsOneAddress) {
  const std::string text = replaced(
      good_text(), "[[listener]]\naddress = \"[::]:465\"",
      "[[listener]]\naddress = \"10.0.0.1:465\"\ntls = \"starttls\"\n[[listener]]\naddress "
      "= \"[::ffff:10.0.0.1]:465\"");
  EXPECT_NE(problems_text(load(text)).find("is taken already"), std::string::npos);
}

}  // namespace
}  // namespace postern::config
