// Password verifiers and the cache of right credentials.
#include "crypto/password.hpp"

#include <gtest/gtest.h>
#include <time.h>

#include <chrono>

#include "tests/unit/crypto/memory_limit.hpp"

namespace postern::crypto {
namespace {

Secret secret(std::string_view text) { return Secret(text); }

TEST(PasswordVerifier, Argon2idAcceptsItsPasswordAndNoOther) {
  const auto verifier = PasswordVerifier::make_argon2id(secret("printer-7"));
  ASSERT_TRUE(verifier);
  EXPECT_TRUE(verifier->text().starts_with("argon2id:$argon2id$v=19$m=19456,t=2,p=1$"));
  EXPECT_EQ(check_credential(&*verifier, secret("printer-7")), CredentialCheck::right);
  EXPECT_EQ(check_credential(&*verifier, secret("printer-8")), CredentialCheck::wrong);
  EXPECT_EQ(check_credential(&*verifier, secret("")), CredentialCheck::wrong);
  const auto read_again = PasswordVerifier::parse(verifier->text());
  ASSERT_TRUE(read_again) << read_again.error().text();
  EXPECT_EQ(check_credential(&*read_again, secret("printer-7")), CredentialCheck::right);
}

TEST(PasswordVerifier, ScramAcceptsItsPasswordAndNoOther) {
  const auto verifier = PasswordVerifier::make_scram_sha_256(secret("camera"));
  ASSERT_TRUE(verifier);
  const auto read_again = PasswordVerifier::parse(verifier->text());
  ASSERT_TRUE(read_again) << read_again.error().text();
  EXPECT_EQ(check_credential(&*read_again, secret("camera")), CredentialCheck::right);
  EXPECT_EQ(check_credential(&*read_again, secret("Camera")), CredentialCheck::wrong);
}

// RFC 7677 §3: user "user", password "pencil", 4096 iterations; StoredKey and ServerKey follow from
// the exchange shown there (its proof and server signature verify with them).
TEST(PasswordVerifier, ScramFitsTheExampleOfRfc7677) {
  const auto verifier = PasswordVerifier::parse(
      "scram-sha-256:4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
      "$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
  ASSERT_TRUE(verifier) << verifier.error().text();
  EXPECT_EQ(check_credential(&*verifier, secret("pencil")), CredentialCheck::right);
  EXPECT_EQ(check_credential(&*verifier, secret("pen")), CredentialCheck::wrong);
}

TEST(PasswordVerifier, AnUnknownUserIsNeverRight) {
  EXPECT_EQ(check_credential(nullptr, secret("anything")), CredentialCheck::wrong);
  EXPECT_EQ(check_credential(nullptr, secret("")), CredentialCheck::wrong);
}

// A machine without free memory turned its users away as guessers, and locked them out.
TEST(PasswordVerifier, WithoutMemoryForTheHashNothingIsCheckedWhoeverTheUserIs) {
  const auto argon2id = PasswordVerifier::make_argon2id(secret("a"));
  const auto scram = PasswordVerifier::make_scram_sha_256(secret("a"));
  ASSERT_TRUE(argon2id);
  ASSERT_TRUE(scram);
  {
    const MemoryLimit limit(argon2id_memory_bytes / 2);
    for (const PasswordVerifier* verifier :
         {&*argon2id, &*scram, static_cast<const PasswordVerifier*>(nullptr)}) {
      EXPECT_EQ(check_credential(verifier, secret("a")), CredentialCheck::unchecked);
      EXPECT_EQ(check_credential(verifier, secret("b")), CredentialCheck::unchecked);
    }
  }
  EXPECT_EQ(check_credential(&*argon2id, secret("a")), CredentialCheck::right);
}

// Made by the argon2 program of the reference code: echo -n pencil | argon2 somesaltsomesalt -id
// -t 3 -k 32768 -p 1 -l 32 -e
TEST(PasswordVerifier, Argon2idFitsWhatTheReferenceCodeMakes) {
  const auto verifier = PasswordVerifier::parse(
      "argon2id:$argon2id$v=19$m=32768,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$SsCrDn6wS4L5YA29ILSbA7qHyCJ/"
      "iKlso4UqQSZq8fo");
  ASSERT_TRUE(verifier) << verifier.error().text();
  EXPECT_EQ(check_credential(&*verifier, secret("pencil")), CredentialCheck::right);
  EXPECT_EQ(check_credential(&*verifier, secret("pen")), CredentialCheck::wrong);
}

// The processor's time of this thread, which other programs on a busy machine do not lengthen.
std::chrono::nanoseconds thread_time() {
  timespec time{};
  EXPECT_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// 535 takes the same time for every failed credential, known user or not.
TEST(PasswordVerifier, TheWorkIsTheSameForEveryKindOfUser) {
  const auto argon2id = PasswordVerifier::make_argon2id(secret("a"));
  const auto scram = PasswordVerifier::make_scram_sha_256(secret("a"));
  ASSERT_TRUE(argon2id);
  ASSERT_TRUE(scram);
  const auto cost = [](const PasswordVerifier* verifier) {
    auto best = std::chrono::nanoseconds::max();
    for (int i = 0; i < 5; ++i) {
      const auto start = thread_time();
      EXPECT_EQ(check_credential(verifier, secret("wrong")), CredentialCheck::wrong);
      best = std::min(best, thread_time() - start);
    }
    return static_cast<double>(best.count());
  };
  const double nobody = cost(nullptr);
  // Wide, because the machine is shared; skipping the hash would be ten times faster and more.
  EXPECT_NEAR(cost(&*argon2id) / nobody, 1.0, 0.5);
  EXPECT_NEAR(cost(&*scram) / nobody, 1.0, 0.5);
}

TEST(PasswordVerifier, RefusesCostsThatCouldHangTheRelayOrTellUsersApart) {
  const std::string salt_and_hash =
      "$Tm9ib2R5IGhhcyB0aGlzLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  const auto parse = [&](const std::string& costs) {
    return PasswordVerifier::parse("argon2id:$argon2id$v=19$" + costs + salt_and_hash).has_value();
  };
  EXPECT_TRUE(parse("m=19456,t=2,p=1"));
  EXPECT_TRUE(parse("m=65536,t=10,p=1"));
  EXPECT_FALSE(parse("m=65537,t=2,p=1"));
  EXPECT_FALSE(parse("m=4194304,t=2,p=1"));
  EXPECT_FALSE(parse("m=19456,t=11,p=1"));
  EXPECT_FALSE(parse("m=19456,t=2,p=2"));
  EXPECT_FALSE(parse("m=8,t=2,p=1"));
  EXPECT_FALSE(parse("m=19456,t=1,p=1"));
  EXPECT_FALSE(parse("m=99999999999999999999,t=2,p=1"));
  EXPECT_FALSE(parse("m=19456,t=2"));
  EXPECT_FALSE(parse("t=2,m=19456,p=1"));
  EXPECT_FALSE(parse("m=19456,t=2,p=1,x=1"));
}

TEST(PasswordVerifier, RefusesWhatIsNoVerifier) {
  for (const std::string_view text :
       {"", "hunter2", "argon2id:", "argon2id:$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA",
        "argon2id:$argon2id$v=16$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLg$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$short$AAAA",
        // A salt of 17 octets, a hash of 33, base64 with padding, octets behind the hash.
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLiE$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLg$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLg==$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "argon2id:$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzLg$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ",
        "scram-sha-256:",
        "scram-sha-256:4095$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "scram-sha-256:100001$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        "$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "scram-sha-256:4096$W22ZaJ0SNY7soEsUEjb6gQ==$AAAA$AAAA"}) {
    EXPECT_FALSE(PasswordVerifier::parse(text)) << text;
  }
  EXPECT_FALSE(PasswordVerifier::make_scram_sha_256(secret("x"), 1000));
  EXPECT_FALSE(PasswordVerifier::make_scram_sha_256(secret("x"), 1'000'000));
}

class Cache : public ::testing::Test {
 protected:
  static PasswordVerifier verifier(std::string_view password) {
    auto made = PasswordVerifier::make_scram_sha_256(Secret(password));
    return std::move(*made);
  }
  const PasswordVerifier verifier_ = verifier("right");
  CredentialCache cache_{2};
};

TEST_F(Cache, RemembersTheExactCredentialOnly) {
  EXPECT_FALSE(cache_.matches("scan", verifier_, secret("right"), 0));
  cache_.remember("scan", verifier_, secret("right"), 0);
  EXPECT_TRUE(cache_.matches("scan", verifier_, secret("right"), 1));
  EXPECT_FALSE(cache_.matches("scan", verifier_, secret("wrong"), 1));
  EXPECT_FALSE(cache_.matches("other", verifier_, secret("right"), 1));
  // A changed password: the same user, another verifier.
  EXPECT_FALSE(cache_.matches("scan", verifier("right"), secret("right"), 1));
}

TEST_F(Cache, PartsDoNotRunIntoEachOther) {
  cache_.remember("scan", verifier_, secret("right"), 0);
  EXPECT_FALSE(cache_.matches("sca", verifier_, secret("nright"), 1));
}

TEST_F(Cache, EntriesDieAfterAnHour) {
  cache_.remember("scan", verifier_, secret("right"), 1000);
  EXPECT_TRUE(cache_.matches("scan", verifier_, secret("right"), 1000 + 3'599'999));
  EXPECT_FALSE(cache_.matches("scan", verifier_, secret("right"), 1000 + 3'600'000));
  EXPECT_FALSE(cache_.matches("scan", verifier_, secret("right"), 999));
}

TEST_F(Cache, TheOldestGoesWhenItIsFull) {
  cache_.remember("a", verifier_, secret("right"), 1);
  cache_.remember("b", verifier_, secret("right"), 2);
  cache_.remember("a", verifier_, secret("right"), 3);
  cache_.remember("c", verifier_, secret("right"), 4);
  EXPECT_TRUE(cache_.matches("a", verifier_, secret("right"), 5));
  EXPECT_FALSE(cache_.matches("b", verifier_, secret("right"), 5));
  EXPECT_TRUE(cache_.matches("c", verifier_, secret("right"), 5));
  cache_.clear();
  EXPECT_FALSE(cache_.matches("c", verifier_, secret("right"), 5));
}

}  // namespace
}  // namespace postern::crypto
