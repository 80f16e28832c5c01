// AES-GCM put under mbedTLS: that it is, that it tells the same as mbedTLS's own in both
// directions, and that a changed record is refused.
#include <gtest/gtest.h>
#include <mbedtls/gcm.h>

#include <algorithm>
#include <array>

#include "crypto/random.hpp"
#include "relay/base/bytes.hpp"

extern "C" {
decltype(mbedtls_gcm_setkey) __real_mbedtls_gcm_setkey, __wrap_mbedtls_gcm_setkey;
decltype(mbedtls_gcm_free) __wrap_mbedtls_gcm_free;
decltype(mbedtls_gcm_crypt_and_tag) __real_mbedtls_gcm_crypt_and_tag,
    __wrap_mbedtls_gcm_crypt_and_tag;
decltype(mbedtls_gcm_auth_decrypt) __real_mbedtls_gcm_auth_decrypt, __wrap_mbedtls_gcm_auth_decrypt;
}

namespace postern::crypto {
namespace {

unsigned char* octets(auto& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

class FastGcm : public ::testing::TestWithParam<unsigned> {
 protected:
  FastGcm() {
    mbedtls_gcm_init(&gcm_);
    for (Bytes* random : {&iv_, &added_}) fill_random(*random);
    set_key(mbedtls_gcm_setkey);
  }
  void set_key(decltype(mbedtls_gcm_setkey)& function) {
    Bytes key(GetParam() / 8);
    fill_random(key);
    EXPECT_EQ(function(&gcm_, MBEDTLS_CIPHER_ID_AES, octets(key), GetParam()), 0);
  }
  ~FastGcm() override { mbedtls_gcm_free(&gcm_); }
  [[nodiscard]] int encrypt(decltype(mbedtls_gcm_crypt_and_tag)& function, const Bytes& plain,
                            Bytes& sealed) {
    sealed = plain;  // in place, as TLS does it
    sealed.resize(plain.size() + tag_octets);
    return function(&gcm_, MBEDTLS_GCM_ENCRYPT, plain.size(), octets(iv_), iv_.size(),
                    octets(added_), added_.size(), octets(sealed), octets(sealed), tag_octets,
                    octets(sealed) + plain.size());
  }
  [[nodiscard]] int decrypt(decltype(mbedtls_gcm_auth_decrypt)& function, Bytes& sealed) {
    const std::size_t size = sealed.size() - tag_octets;
    return function(&gcm_, size, octets(iv_), iv_.size(), octets(added_), added_.size(),
                    octets(sealed) + size, tag_octets, octets(sealed), octets(sealed));
  }

  void expect_the_same_as_mbedtls();

  static constexpr std::size_t tag_octets = 16;
  mbedtls_gcm_context gcm_{};
  Bytes iv_ = Bytes(12);
  Bytes added_ = Bytes(5);
};
INSTANTIATE_TEST_SUITE_P(KeyBits, FastGcm, ::testing::Values(128U, 256U));

TEST_P(FastGcm, TheLinkerPutsItUnderMbedTls) {
  EXPECT_EQ(&mbedtls_gcm_crypt_and_tag, &__wrap_mbedtls_gcm_crypt_and_tag);
  EXPECT_EQ(&mbedtls_gcm_setkey, &__wrap_mbedtls_gcm_setkey);
  EXPECT_EQ(&mbedtls_gcm_free, &__wrap_mbedtls_gcm_free);
  EXPECT_EQ(&mbedtls_gcm_auth_decrypt, &__wrap_mbedtls_gcm_auth_decrypt);
}

void FastGcm::expect_the_same_as_mbedtls() {
  for (const std::size_t size : {1UZ, 1023UZ, 1024UZ, 1025UZ, 4096UZ, 16'384UZ, 16'401UZ}) {
    Bytes plain(size);
    fill_random(plain);
    Bytes ours;
    Bytes theirs;
    ASSERT_EQ(encrypt(mbedtls_gcm_crypt_and_tag, plain, ours), 0);
    ASSERT_EQ(encrypt(__real_mbedtls_gcm_crypt_and_tag, plain, theirs), 0);
    EXPECT_EQ(ours, theirs) << size;
    ASSERT_EQ(decrypt(mbedtls_gcm_auth_decrypt, theirs), 0);
    ASSERT_EQ(decrypt(__real_mbedtls_gcm_auth_decrypt, ours), 0);
    theirs.resize(size);
    ours.resize(size);
    EXPECT_EQ(theirs, plain) << size;
    EXPECT_EQ(ours, plain) << size;
  }
}

TEST_P(FastGcm, TellsTheSameAsMbedTls) { expect_the_same_as_mbedtls(); }

TEST_P(FastGcm, TheLastKeyThatWasSetCounts) {
  set_key(mbedtls_gcm_setkey);
  expect_the_same_as_mbedtls();
  mbedtls_gcm_free(&gcm_);
  mbedtls_gcm_init(&gcm_);
  set_key(mbedtls_gcm_setkey);
  expect_the_same_as_mbedtls();
}

// A key that came past it, as none does: what was noted of a context is forgotten with it.
TEST_P(FastGcm, AContextThatWasFreedIsNotKnownAnyMore) {
  mbedtls_gcm_free(&gcm_);
  mbedtls_gcm_init(&gcm_);
  set_key(__real_mbedtls_gcm_setkey);
  expect_the_same_as_mbedtls();
}

TEST_P(FastGcm, RefusesWhatWasChangedAndGivesNothingOfIt) {
  const Bytes plain(4096, std::byte{'x'});
  Bytes sealed;
  ASSERT_EQ(encrypt(mbedtls_gcm_crypt_and_tag, plain, sealed), 0);
  for (const std::size_t at : {0UZ, 4095UZ, 4096UZ, 4111UZ}) {
    Bytes changed = sealed;
    changed[at] ^= std::byte{1};
    EXPECT_EQ(decrypt(mbedtls_gcm_auth_decrypt, changed), MBEDTLS_ERR_GCM_AUTH_FAILED) << at;
    EXPECT_TRUE(std::all_of(changed.begin(), changed.begin() + 4096,
                            [](std::byte octet) { return octet == std::byte{0}; }));
  }
  added_[0] ^= std::byte{1};
  EXPECT_EQ(decrypt(mbedtls_gcm_auth_decrypt, sealed), MBEDTLS_ERR_GCM_AUTH_FAILED);
}

}  // namespace
}  // namespace postern::crypto
