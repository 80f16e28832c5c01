// DKIM: known answers of RFC 8463, and every signature of ours checked by a verifier written apart
// from it.
#include "crypto/dkim.hpp"

#include <gtest/gtest.h>
#include <mbedtls/pk.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <map>
#include <thread>

#include "relay/base/encoding.hpp"
#include "tests/unit/crypto/test_certificates.hpp"

namespace postern::crypto {
namespace {

// RFC 8463 appendix A: the message, keys and signature shown there.
const std::vector<std::string> rfc_fields = {
    "From: Joe SixPack <joe@football.example.com>\r\n",
    "To: Suzie Q <suzie@shopping.example.net>\r\n", "Subject: Is dinner ready?\r\n",
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n",
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"};
constexpr std::string_view rfc_body =
    "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
constexpr std::string_view rfc_body_hash = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";
constexpr std::string_view rfc_public_key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
constexpr std::string_view rfc_seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
constexpr std::string_view rfc_signature =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n";

Secret ed25519_pem(std::string_view seed_base64) {
  Bytes der = *decode_hex("302e020100300506032b657004220420");
  append(der, *decode_base64(seed_base64));
  return Secret("-----BEGIN PRIVATE KEY-----\n" + encode_base64(der) +
                "\n-----END PRIVATE KEY-----\n");
}

std::string body_hash(std::string_view body) {
  DkimBodyHasher hasher;
  hasher.update(as_bytes(body));
  return encode_base64(hasher.finish());
}

Sha256Digest body_digest(std::string_view body) {
  DkimBodyHasher hasher;
  hasher.update(as_bytes(body));
  return hasher.finish();
}

std::string sha256(std::string_view text) {
  Bytes digest(crypto_hash_sha256_BYTES);
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(digest.data()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return std::string(as_text(digest));
}

// --- a verifier that shares nothing with the signer

std::string without(std::string text, std::string_view unwanted) {
  std::erase_if(text, [&](char c) { return unwanted.find(c) != std::string_view::npos; });
  return text;
}

std::string relaxed(const std::string& field) {
  std::string name = without(field.substr(0, field.find(':')), " \t");
  std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(tolower(c)); });
  std::string value = without(field.substr(field.find(':') + 1), "\r\n");
  std::ranges::replace(value, '\t', ' ');
  for (std::size_t at; (at = value.find("  ")) != std::string::npos;) value.erase(at, 1);
  if (value.starts_with(' ')) value.erase(0, 1);
  if (value.ends_with(' ')) value.pop_back();
  return name + ":" + value + "\r\n";
}

std::map<std::string, std::string> tags_of(const std::string& signature) {
  std::map<std::string, std::string> tags;
  std::string text = without(signature.substr(signature.find(':') + 1), " \t\r\n") + ";";
  for (std::size_t end; (end = text.find(';')) != std::string::npos; text.erase(0, end + 1)) {
    const std::string tag = text.substr(0, end);
    if (!tag.empty()) tags[tag.substr(0, tag.find('='))] = tag.substr(tag.find('=') + 1);
  }
  return tags;
}

bool verifies(const std::vector<std::string>& fields, std::string_view body,
              const std::string& signature, std::string_view public_key) {
  auto tags = tags_of(signature);
  if (tags["bh"] != body_hash(body)) return false;
  std::string data;
  std::vector<bool> used(fields.size());
  std::string names = tags["h"] + ":";
  for (std::size_t end; (end = names.find(':')) != std::string::npos; names.erase(0, end + 1)) {
    for (std::size_t i = fields.size(); i-- > 0;) {
      if (used[i] || !relaxed(fields[i]).starts_with(names.substr(0, end) + ":")) continue;
      data += relaxed(fields[i]);
      used[i] = true;
      break;
    }
  }
  // The value of b= goes, up to the next semicolon or the end; no CRLF.
  std::string bare = signature;
  const std::size_t value = bare.find("b=", bare.find("bh=") + 3) + 2;
  bare.erase(value, std::min(bare.find(';', value), bare.size()) - value);
  bare = relaxed(bare);
  data += bare.substr(0, bare.size() - 2);
  const std::string hashed = sha256(data);
  const auto signed_octets = decode_base64(tags["b"]);
  const auto key = decode_base64(public_key);
  if (!signed_octets || !key) return false;
  const auto* hash = reinterpret_cast<const unsigned char*>(hashed.data());
  const auto* octets = reinterpret_cast<const unsigned char*>(signed_octets->data());
  const auto* key_octets = reinterpret_cast<const unsigned char*>(key->data());
  if (tags["a"] == "ed25519-sha256") {
    return signed_octets->size() == 64 && key->size() == 32 &&
           crypto_sign_verify_detached(octets, hash, hashed.size(), key_octets) == 0;
  }
  mbedtls_pk_context rsa;
  mbedtls_pk_init(&rsa);
  const bool good = mbedtls_pk_parse_public_key(&rsa, key_octets, key->size()) == 0 &&
                    mbedtls_pk_verify(&rsa, MBEDTLS_MD_SHA256, hash, hashed.size(), octets,
                                      signed_octets->size()) == 0;
  mbedtls_pk_free(&rsa);
  return good;
}

std::vector<std::string_view> views(const std::vector<std::string>& fields) {
  return {fields.begin(), fields.end()};
}

std::shared_ptr<const DkimKey> rfc_key() {
  return *DkimKey::load("Football.Example.COM", "brisbane", ed25519_pem(rfc_seed));
}

// --- body

TEST(DkimBody, HashesTheBodyOfRfc8463) { EXPECT_EQ(body_hash(rfc_body), rfc_body_hash); }

// RFC 6376 §3.4.4: an empty body is the empty string.
TEST(DkimBody, AnEmptyBodyAndOneOfEmptyLinesHashAsNothing) {
  EXPECT_EQ(body_hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  EXPECT_EQ(body_hash("\r\n\r\n"), body_hash(""));
  EXPECT_EQ(body_hash(" \t\r\n \r\n"), body_hash(""));
}

// RFC 6376 §3.4.5 shows "C \r\nD \t E\r\n\r\n\r\n" in relaxed form as " C\r\nD E\r\n".
TEST(DkimBody, FollowsTheExampleOfRfc6376) {
  EXPECT_EQ(body_hash(" C \r\nD \t E\r\n\r\n\r\n"),
            encode_base64(as_bytes(sha256(" C\r\nD E\r\n"))));
}

TEST(DkimBody, ALastLineWithoutItsEndGetsOne) {
  EXPECT_EQ(body_hash("text"), body_hash("text\r\n"));
  EXPECT_EQ(body_hash("text \t"), body_hash("text\r\n\r\n"));
  EXPECT_NE(body_hash("text\r"), body_hash("text\r\n"));
}

TEST(DkimBody, DoesNotDependOnHowTheBodyIsCut) {
  const std::string body = "a  b \t\r\n\r\n \r\nc\rd\ne \r\n\r\n";
  const std::string whole = body_hash(body);
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    DkimBodyHasher hasher;
    hasher.update(as_bytes(body).first(cut));
    hasher.update(as_bytes(body).subspan(cut));
    EXPECT_EQ(encode_base64(hasher.finish()), whole) << cut;
  }
}

TEST(DkimBody, HashesMoreThanItsBuffer) {
  const std::string line(70, 'x');
  std::string body;
  for (int i = 0; i < 1000; ++i) body += line + "\r\n";
  EXPECT_EQ(body_hash(body), encode_base64(as_bytes(sha256(body))));
}

// --- keys

TEST(DkimKeys, TheEd25519KeyOfRfc8463GivesItsPublicKey) {
  const auto key = rfc_key();
  EXPECT_EQ(key->algorithm(), DkimAlgorithm::ed25519_sha256);
  EXPECT_EQ(key->public_key_base64(), rfc_public_key);
  EXPECT_EQ(key->domain(), "football.example.com");
  EXPECT_EQ(key->selector(), "brisbane");
}

TEST(DkimKeys, GeneratedOnesLoadAndKeepTheirPublicKey) {
  for (const DkimAlgorithm algorithm : {DkimAlgorithm::rsa_sha256, DkimAlgorithm::ed25519_sha256}) {
    const auto made = generate_dkim_key(algorithm);
    ASSERT_TRUE(made) << made.error().text();
    const auto key = DkimKey::load("office.example", "s1", made->private_key_pem);
    ASSERT_TRUE(key) << key.error().text();
    EXPECT_EQ((*key)->algorithm(), algorithm);
    EXPECT_EQ((*key)->public_key_base64(), made->public_key_base64);
  }
}

TEST(DkimKeys, RefusesWhatDkimCannotUseAndSaysWhy) {
  const testing::TestAuthority authority;
  const auto refusal = [](const Secret& pem) {
    const auto key = DkimKey::load("office.example", "s1", pem);
    return key ? std::string("accepted") : key.error().detail;
  };
  EXPECT_NE(refusal(authority.issue("x").private_key_pem).find("another kind"), std::string::npos);
  const auto weak = authority.issue("x", {.key = testing::TestKey::rsa_1024});
  EXPECT_NE(refusal(weak.private_key_pem).find("1024 bits"), std::string::npos);
  EXPECT_NE(refusal(Secret(std::string_view("nonsense"))).find("no RSA or Ed25519"),
            std::string::npos);
  EXPECT_NE(refusal(Secret()).find("no RSA or Ed25519"), std::string::npos);
  EXPECT_NE(refusal(Secret(std::string_view("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                                            "-----END ENCRYPTED PRIVATE KEY-----\n")))
                .find("passphrase"),
            std::string::npos);
}

TEST(DkimKeys, RefusesADomainOrSelectorThatCouldForgeATag) {
  for (const std::string name : {"", "a;b", "a b", "a\r\nX: y", ".a", "a.", "a..b"}) {
    EXPECT_FALSE(DkimKey::load(name, "s1", ed25519_pem(rfc_seed))) << name;
    EXPECT_FALSE(DkimKey::load("office.example", name, ed25519_pem(rfc_seed))) << name;
  }
}

TEST(DkimKeys, TheRecordNamesTheKind) {
  EXPECT_EQ(dkim_record_text(DkimAlgorithm::ed25519_sha256, rfc_public_key),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  EXPECT_EQ(dkim_record_text(DkimAlgorithm::rsa_sha256, "AAAA"), "v=DKIM1; k=rsa; p=AAAA");
}

// --- signatures

// The test's verifier must be right before it may judge the signer.
TEST(DkimSignature, TheVerifierOfThisTestAcceptsTheSignatureOfRfc8463) {
  EXPECT_TRUE(verifies(rfc_fields, rfc_body, std::string(rfc_signature), rfc_public_key));
  auto changed = rfc_fields;
  changed[2] = "Subject: Is lunch ready?\r\n";
  EXPECT_FALSE(verifies(changed, rfc_body, std::string(rfc_signature), rfc_public_key));
}

class BothAlgorithms : public ::testing::TestWithParam<DkimAlgorithm> {
 protected:
  void SetUp() override {
    const auto made = generate_dkim_key(GetParam());
    ASSERT_TRUE(made);
    key_ = *DkimKey::load("office.example", "postern1", made->private_key_pem);
  }
  [[nodiscard]] std::string sign(const std::vector<std::string>& fields,
                                 std::string_view body) const {
    const auto signature = key_->sign(views(fields), body_digest(body), 1'700'000'000);
    EXPECT_TRUE(signature) << signature.error().text();
    return signature.value_or("");
  }
  std::shared_ptr<const DkimKey> key_;
};
INSTANTIATE_TEST_SUITE_P(DkimSignature, BothAlgorithms,
                         ::testing::Values(DkimAlgorithm::rsa_sha256,
                                           DkimAlgorithm::ed25519_sha256));

TEST_P(BothAlgorithms, Verifies) {
  const std::string signature = sign(rfc_fields, rfc_body);
  EXPECT_TRUE(verifies(rfc_fields, rfc_body, signature, key_->public_key_base64())) << signature;
  const auto tags = tags_of(signature);
  EXPECT_EQ(tags.at("v"), "1");
  EXPECT_EQ(tags.at("c"), "relaxed/relaxed");
  EXPECT_EQ(tags.at("d"), "office.example");
  EXPECT_EQ(tags.at("s"), "postern1");
  EXPECT_EQ(tags.at("t"), "1700000000");
  EXPECT_FALSE(tags.contains("l"));  // never a body length (RFC 6376 §8.2)
}

// Messages are signed on several threads of libuv's pool with one key.
TEST_P(BothAlgorithms, SignsOnManyThreadsAtOnce) {
  std::array<std::string, 4> signatures;
  {
    std::vector<std::jthread> threads;
    for (std::string& signature : signatures) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) signature = sign(rfc_fields, rfc_body);
      });
    }
  }
  for (const std::string& signature : signatures) {
    EXPECT_TRUE(verifies(rfc_fields, rfc_body, signature, key_->public_key_base64()));
  }
}

TEST_P(BothAlgorithms, BreaksOnAChangedFieldOrBody) {
  const std::string signature = sign(rfc_fields, rfc_body);
  for (std::size_t i = 0; i < rfc_fields.size(); ++i) {
    auto changed = rfc_fields;
    changed[i].insert(changed[i].size() - 2, "x");
    EXPECT_FALSE(verifies(changed, rfc_body, signature, key_->public_key_base64())) << changed[i];
  }
  EXPECT_FALSE(verifies(rfc_fields, "Hi!\r\n", signature, key_->public_key_base64()));
}

// RFC 6376 §5.4.2, §8.15: oversigned names make an added field break the signature.
TEST_P(BothAlgorithms, BreaksOnAnAddedIdentityField) {
  const std::string signature = sign(rfc_fields, rfc_body);
  for (const std::string name :
       {"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Sender", "MIME-Version",
        "Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References"}) {
    for (const bool at_top : {true, false}) {
      auto changed = rfc_fields;
      changed.insert(at_top ? changed.begin() : changed.end(), name + ": forged\r\n");
      EXPECT_FALSE(verifies(changed, rfc_body, signature, key_->public_key_base64()))
          << name << at_top;
    }
  }
  auto traced = rfc_fields;
  traced.insert(traced.begin(), "Received: from relay\r\n");
  EXPECT_TRUE(verifies(traced, rfc_body, signature, key_->public_key_base64()));
}

TEST_P(BothAlgorithms, SurvivesRefoldingAndKeepsRepeatedFieldsInOrder) {
  std::vector<std::string> fields = {"Subject:   two\r\n\t lines \r\n",
                                     "From: a@office.example\r\n", "References: <1@x>\r\n",
                                     "References: <2@x>\r\n", "List-Id: <l.x>\r\n"};
  const std::string signature = sign(fields, "");
  EXPECT_TRUE(verifies(fields, "", signature, key_->public_key_base64()));
  auto refolded = fields;
  refolded[0] = "SUBJECT : two lines\r\n";
  EXPECT_TRUE(verifies(refolded, "", signature, key_->public_key_base64()));
  std::swap(refolded[2], refolded[3]);
  EXPECT_FALSE(verifies(refolded, "", signature, key_->public_key_base64()));
  refolded = fields;
  refolded[4] = "List-Id: <other.x>\r\n";
  EXPECT_FALSE(verifies(refolded, "", signature, key_->public_key_base64()));
}

// RFC 5322 §2.1.1: lines of at most 78 characters.
TEST_P(BothAlgorithms, IsFoldedAndEndsInCrlf) {
  std::string signature = sign(rfc_fields, rfc_body);
  ASSERT_TRUE(signature.starts_with("DKIM-Signature: "));
  ASSERT_TRUE(signature.ends_with("\r\n"));
  bool first = true;
  for (std::size_t end; (end = signature.find("\r\n")) != std::string::npos;
       signature.erase(0, end + 2)) {
    EXPECT_LT(end, 78U) << signature.substr(0, end);
    EXPECT_TRUE(first || signature[0] == '\t');
    first = false;
  }
  EXPECT_TRUE(signature.empty());
}

TEST(DkimSignature, NeedsAFromFieldAndNoFloodOfOne) {
  const std::vector<std::string> no_from = {"Subject: x\r\n"};
  const auto refused = rfc_key()->sign(views(no_from), body_digest(""), 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("From"), std::string::npos);
  std::vector<std::string> flood(40, "Subject: x\r\n");
  flood.emplace_back("From: a@b\r\n");
  EXPECT_FALSE(rfc_key()->sign(views(flood), body_digest(""), 1));
}

}  // namespace
}  // namespace postern::crypto
