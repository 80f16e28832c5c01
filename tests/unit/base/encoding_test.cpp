// Base64 and hexadecimal: the vectors of RFC 4648 §10, and what a strict decoder refuses.
#include "relay/base/encoding.hpp"

#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "tests/unit/base/freed_memory.hpp"

namespace postern {
namespace {

std::string decoded(std::string_view text) {
  const auto bytes = decode_base64(text);
  return bytes ? std::string(as_text(*bytes)) : "refused";
}

TEST(Encoding, Base64VectorsOfRfc4648Section10) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> vectors = {
      {{"", ""},
       {"f", "Zg=="},
       {"fo", "Zm8="},
       {"foo", "Zm9v"},
       {"foob", "Zm9vYg=="},
       {"fooba", "Zm9vYmE="},
       {"foobar", "Zm9vYmFy"}}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(encode_base64(as_bytes(plain)), text);
    EXPECT_EQ(decoded(text), plain);
  }
}

TEST(Encoding, Base64OfEveryOctetSurvives) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (std::size_t length = 0; length <= all.size(); ++length) {
    const auto part = std::string_view(all).substr(0, length);
    EXPECT_EQ(decoded(encode_base64(as_bytes(part))), part);
  }
}

TEST(Encoding, Base64RefusesWhatIsNotCanonical) {
  for (const std::string_view text : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==",
                                      "Zm9v\n", " Zm9v", "Zm-v", "Zm_v", "=Zg=", "Zm9v="}) {
    EXPECT_EQ(decoded(text), "refused") << text;
  }
}

TEST(Encoding, HexIsLowerCaseOutAndAnyCaseIn) {
  EXPECT_EQ(encode_hex(as_bytes("\x01\xAB\xff")), "01abff");
  EXPECT_EQ(decode_hex("01aBFf"), decode_hex("01abff"));
  EXPECT_FALSE(decode_hex("0"));
  EXPECT_FALSE(decode_hex("0g"));
  EXPECT_TRUE(decode_hex("")->empty());
}

// It may be a password with a slip at its end.
TEST(Encoding, HalfOfWhatIsNoBase64IsWiped) {
  const std::string stray = encode_base64(as_bytes("correct horse battery")) + "????";
  const std::string bits =
      encode_base64(as_bytes("correct horse battery staple")).substr(0, 36) + "bB==";
  FreedMemoryWatch watch({"correct horse"});
  EXPECT_FALSE(decode_base64(stray));
  EXPECT_FALSE(decode_base64(bits)) << "RFC 4648 §3.5";
  EXPECT_EQ(watch.found(), "");
}

}  // namespace
}  // namespace postern
