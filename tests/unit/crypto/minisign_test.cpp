// Signatures made by the minisign program itself (version 0.11), so that two implementations agree.
#include "crypto/minisign.hpp"

#include <string>

#include "gtest/gtest.h"

namespace postern::crypto {
namespace {

const std::string public_key =
    "untrusted comment: minisign public key 3DBB6EA1DCAD9755\n"
    "RWRVl63coW67PTPYYUXeQVrI+PymeH82lYRHC1qdZ1pdCzL1Jr8eonTO\n";
const std::string other_key =
    "untrusted comment: the same with another number\n"
    "RWRWl63coW67PTPYYUXeQVrI+PymeH82lYRHC1qdZ1pdCzL1Jr8eonTO\n";
const std::string signature =
    "untrusted comment: signature from minisign secret key\n"
    "RURVl63coW67PZrdiMmf0QgLRMcmiGfE5sgCtPseQav15qPUTuzQSsrRdCsUJzAAy/"
    "EJqHcXxKEGH0JrNVWMPh4BVJkR1x6Isgc=\n"
    "trusted comment: Postern update\n"
    "hiLVdtpZHVMT/rOK8CXwSv55QK/Z231c3jpMealBa3vosrzxf9quSSkQ7Hy6m+APuLYP3Pp13InCadUpDMquAQ==\n";
const std::string legacy =
    "untrusted comment: signature from minisign secret key\n"
    "RWRVl63coW67PUxElUJgMWXXp5XOkzXgdTNsiY57sEI2+Zp99PN8BqMaTP1EXOjZrqqPLtpp60IaUQRJOHBlyvpoJp/"
    "Cz2GFdwQ=\n"
    "trusted comment: legacy\n"
    "gI3cm+MC2STM5nVijxsYRU1rW79ZHDtMTOJQvFAMoYCKoV2dzBDI0Zowx5ifxI0m1aT65GuSrdF73FxhpH16DA==\n";
const std::string message = "built 1795000000\n";

bool good(const std::string& key, const std::string& text, const std::string& what) {
  return verify_minisign(key, text, as_bytes(what)).has_value();
}

TEST(MinisignTest, WhatTheProgramSignedIsGood) {
  EXPECT_TRUE(good(public_key, signature, message));
}

TEST(MinisignTest, AnyChangedOctetOfTheMessageIsRefused) {
  for (std::size_t at = 0; at < message.size(); ++at) {
    std::string changed = message;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(good(public_key, signature, changed)) << at;
  }
  EXPECT_FALSE(good(public_key, signature, message + "\n"));
}

TEST(MinisignTest, AChangedTrustedCommentIsRefused) {
  std::string changed = signature;
  changed.replace(changed.find("update"), 6, "UPDATE");
  EXPECT_FALSE(good(public_key, changed, message));
}

TEST(MinisignTest, AnyChangedCharacterOfKeyOrSignatureIsRefused) {
  const auto line = [](const std::string& text) { return text.find('\n') + 1; };
  for (std::size_t at = line(signature); signature[at] != '\n'; ++at) {
    std::string changed = signature;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(changed == signature || !good(public_key, changed, message)) << at;
  }
  for (std::size_t at = line(public_key); public_key[at] != '\n'; ++at) {
    std::string changed = public_key;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(changed == public_key || !good(changed, signature, message)) << at;
  }
  EXPECT_FALSE(good(other_key, signature, message));
}

TEST(MinisignTest, TheOldKindAndACutTextAreRefused) {
  EXPECT_FALSE(good(public_key, legacy, message));
  for (std::size_t size = 0; size + 2 < signature.size(); ++size)
    EXPECT_FALSE(good(public_key, signature.substr(0, size), message)) << size;
  EXPECT_FALSE(good("", signature, message));
}

TEST(Sha256Test, ChunksGiveTheHashOfTheWhole) {  // FIPS 180-2 appendix B.1
  Sha256 hash;
  hash.update(as_bytes("a"));
  hash.update(as_bytes("bc"));
  EXPECT_EQ(hash.finish_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace postern::crypto
