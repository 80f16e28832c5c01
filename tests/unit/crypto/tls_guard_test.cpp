// The guard before mbedTLS: which ServerHellos it lets by, however the octets are cut.
#include "crypto/tls_guard.hpp"

#include <gtest/gtest.h>

#include "crypto/tls.hpp"
#include "relay/base/encoding.hpp"

namespace postern::crypto {
namespace {

using Verdict = ServerHelloGuard::Verdict;

constexpr std::string_view plain_random =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
// RFC 8446 §4.1.3
constexpr std::string_view retry_random =
    "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";

Bytes hex(std::string_view text) { return *decode_hex(text); }

Bytes record(std::uint8_t type, ByteView content) {
  Bytes whole = hex("000303");
  whole[0] = std::byte{type};
  whole.push_back(static_cast<std::byte>(content.size() >> 8));
  whole.push_back(static_cast<std::byte>(content.size() & 0xFF));
  append(whole, content);
  return whole;
}

// legacy_session_id empty, a suite, no compression, no extensions.
Bytes hello_message(std::string_view version, std::string_view random = plain_random) {
  return hex("02000028" + std::string(version) + std::string(random) + "00" + "1301" + "00" +
             "0000");
}
Bytes hello(std::string_view version, std::string_view random = plain_random) {
  return record(22, hello_message(version, random));
}

// The verdict when fed in pieces.
Verdict judge(ByteView input, std::size_t piece, ServerHelloGuard& guard) {
  for (std::size_t at = 0; at < input.size(); at += piece) {
    const Verdict verdict = guard.inspect(input.subspan(at, std::min(piece, input.size() - at)));
    if (verdict != Verdict::pass) return verdict;
  }
  return Verdict::pass;
}

Verdict judge(ByteView input) {
  ServerHelloGuard whole;
  const Verdict verdict = judge(input, input.size(), whole);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}}) {
    ServerHelloGuard guard;
    EXPECT_EQ(judge(input, piece, guard), verdict) << "cut every " << piece;
    EXPECT_EQ(guard.done(), whole.done());
  }
  return verdict;
}

Bytes operator+(Bytes a, const Bytes& b) {
  append(a, b);
  return a;
}

const Bytes change_cipher_spec = record(20, hex("01"));

TEST(ServerHelloGuard, LetsTheOneLegacyVersionByAndLooksAtNothingAfter) {
  ServerHelloGuard guard;
  const Bytes good = hello("0303");
  EXPECT_EQ(guard.inspect(good), Verdict::pass);
  EXPECT_TRUE(guard.done());
  EXPECT_EQ(guard.inspect(as_bytes("whatever follows is mbedTLS's matter")), Verdict::pass);
}

// CVE-2026-115490; RFC 8446 §4.1.3: legacy_version is 0x0303 and nothing else.
TEST(ServerHelloGuard, RefusesTheForgedVersion) {
  EXPECT_EQ(judge(hello("0304")), Verdict::forged);
  EXPECT_EQ(judge(hello("0305")), Verdict::forged);
  EXPECT_EQ(judge(hello("fefd")), Verdict::forged);
  EXPECT_EQ(judge(hello("0000")), Verdict::forged);
}

TEST(ServerHelloGuard, RefusesTheForgedVersionBehindWhatMbedtlsSkips) {
  EXPECT_EQ(judge(change_cipher_spec + hello("0304")), Verdict::forged);
  EXPECT_EQ(judge(record(21, hex("0164")) + hello("0304")), Verdict::forged);
  EXPECT_EQ(judge(record(22, hex("00000000")) + hello("0304")), Verdict::forged);
  const Bytes retry = hello("0303", retry_random);
  EXPECT_EQ(judge(retry + hello("0304")), Verdict::forged);
  EXPECT_EQ(judge(retry + change_cipher_spec + hello("0304")), Verdict::forged);
  EXPECT_EQ(judge(retry + change_cipher_spec + hello("0303")), Verdict::pass);
  EXPECT_EQ(judge(retry + retry), Verdict::forged);
  // In the same record as a message before it.
  EXPECT_EQ(judge(record(22, hex("00000000") + hello_message("0304"))), Verdict::forged);
}

TEST(ServerHelloGuard, RefusesAHelloWhoseBeginningIsCutOverRecords) {
  const Bytes message = hello_message("0303");
  for (std::size_t cut = 1; cut < 38; ++cut) {
    const Bytes split =
        record(22, ByteView(message).first(cut)) + record(22, ByteView(message).subspan(cut));
    EXPECT_EQ(judge(split), Verdict::forged) << cut;
  }
  EXPECT_EQ(
      judge(record(22, ByteView(message).first(38)) + record(22, ByteView(message).subspan(38))),
      Verdict::pass);
}

TEST(ServerHelloGuard, RefusesARecordOfAnotherTypeInsideAMessage) {
  EXPECT_EQ(judge(record(22, hex("0b00")) + change_cipher_spec), Verdict::forged);
  EXPECT_EQ(judge(record(22, hex("0b00000501")) + change_cipher_spec), Verdict::forged);
}

TEST(ServerHelloGuard, RefusesDataBeforeAHelloAndImpossibleRecords) {
  EXPECT_EQ(judge(record(23, hex("00"))), Verdict::forged);
  EXPECT_EQ(judge(record(22, {})), Verdict::forged);
  EXPECT_EQ(judge(hex("160303ffff")), Verdict::forged);
  EXPECT_EQ(judge(change_cipher_spec + hex("4845")), Verdict::forged);
  EXPECT_EQ(judge(record(22, hex("02000001") + Bytes(40))),
            Verdict::forged);  // shorter than its own start
}

TEST(ServerHelloGuard, TellsOldVersionsAndPlainText) {
  ServerHelloGuard guard;
  EXPECT_EQ(guard.inspect(hello("0301")), Verdict::old_version);
  EXPECT_EQ(tls_version_name(guard.version()), "TLS 1.0");
  EXPECT_EQ(judge(hello("0302")), Verdict::old_version);
  EXPECT_EQ(judge(hello("0300")), Verdict::old_version);
  Bytes greeting;
  append(greeting, as_bytes("220 mail.example ESMTP\r\n"));
  EXPECT_EQ(judge(greeting), Verdict::plain_text);
}

TEST(ServerHelloGuard, AnAlertIsLeftToMbedtls) {
  EXPECT_EQ(judge(record(21, hex("0228"))), Verdict::pass);
}

TEST(LooksLikeClientHello, KnowsTlsFromSmtp) {
  EXPECT_TRUE(looks_like_client_hello(hex("1603010200010001fc0303")));
  EXPECT_TRUE(looks_like_client_hello(hex("1603")));
  EXPECT_FALSE(looks_like_client_hello(hex("16")));
  EXPECT_FALSE(looks_like_client_hello(hex("160301020002")));  // a ServerHello
  EXPECT_FALSE(looks_like_client_hello(hex("1604")));
  EXPECT_FALSE(looks_like_client_hello(as_bytes("EHLO printer\r\n")));
  EXPECT_FALSE(looks_like_client_hello({}));
}

}  // namespace
}  // namespace postern::crypto
