// The curves put under mbedTLS: that they are, that they tell the same as mbedTLS's own, and that
// nothing bad gets through.
#include <gtest/gtest.h>
#include <mbedtls/ecp.h>

#include <memory>

#include "crypto/mbedtls_support.hpp"
#include "relay/base/encoding.hpp"

extern "C" {
decltype(mbedtls_ecp_mul) __real_mbedtls_ecp_mul, __wrap_mbedtls_ecp_mul;
decltype(mbedtls_ecp_muladd_restartable) __real_mbedtls_ecp_muladd_restartable,
    __wrap_mbedtls_ecp_muladd_restartable;
}

namespace postern::crypto {
namespace {

struct Curve {
  explicit Curve(mbedtls_ecp_group_id id) {
    mbedtls_ecp_group_init(&group);
    EXPECT_EQ(mbedtls_ecp_group_load(&group, id), 0);
  }
  ~Curve() { mbedtls_ecp_group_free(&group); }
  Curve(const Curve&) = delete;
  Curve& operator=(const Curve&) = delete;
  mbedtls_ecp_group group;
};

struct Number {
  Number() { mbedtls_mpi_init(&value); }
  explicit Number(const std::string& hex) : Number() {
    EXPECT_EQ(mbedtls_mpi_read_string(&value, 16, hex.c_str()), 0);
  }
  ~Number() { mbedtls_mpi_free(&value); }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  mbedtls_mpi value;
};

struct Point {
  Point() { mbedtls_ecp_point_init(&value); }
  Point(Curve& curve, std::string_view hex) : Point() {
    const Bytes octets = *decode_hex(hex);
    EXPECT_EQ(mbedtls_ecp_point_read_binary(&curve.group, &value,
                                            reinterpret_cast<const unsigned char*>(octets.data()),
                                            octets.size()),
              0);
  }
  ~Point() { mbedtls_ecp_point_free(&value); }
  Point(const Point&) = delete;
  Point& operator=(const Point&) = delete;
  [[nodiscard]] std::string hex(const Curve& curve) const {
    Bytes octets(97);  // of P-384
    std::size_t size = 0;
    EXPECT_EQ(mbedtls_ecp_point_write_binary(&curve.group, &value, MBEDTLS_ECP_PF_UNCOMPRESSED,
                                             &size, reinterpret_cast<unsigned char*>(octets.data()),
                                             octets.size()),
              0);
    octets.resize(size);
    return encode_hex(octets);
  }
  mbedtls_ecp_point value;
};

int multiply(Curve& curve, Point& result, const Number& scalar, const Point& point) {
  return mbedtls_ecp_mul(&curve.group, &result.value, &scalar.value, &point.value, mbedtls_random,
                         nullptr);
}

TEST(FastCurves, TheLinkerPutsThemUnderMbedTls) {
  EXPECT_EQ(&mbedtls_ecp_mul, &__wrap_mbedtls_ecp_mul);
  EXPECT_EQ(&mbedtls_ecp_muladd_restartable, &__wrap_mbedtls_ecp_muladd_restartable);
  EXPECT_NE(&__real_mbedtls_ecp_mul, &__wrap_mbedtls_ecp_mul);
}

// RFC 7748 §5.2, with the scalar as a private key has it (clamped).
TEST(FastCurves, X25519GivesTheAnswerOfRfc7748) {
  Curve curve(MBEDTLS_ECP_DP_CURVE25519);
  const Number scalar("449a44ba44226a50185afcc10a4c1462dd5e46824b15163b9d7c52f06be346a0");
  const Point point(curve, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  Point result;
  ASSERT_EQ(multiply(curve, result, scalar, point), 0);
  EXPECT_EQ(result.hex(curve), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
}

// RFC 5903 §8.1.
TEST(FastCurves, P256GivesTheAnswersOfRfc5903) {
  Curve curve(MBEDTLS_ECP_DP_SECP256R1);
  const Number i("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433");
  const Point from_peer(curve,
                        "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
                        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab");
  Point result;
  ASSERT_EQ(mbedtls_ecp_mul(&curve.group, &result.value, &i.value, &curve.group.G, mbedtls_random,
                            nullptr),
            0);
  EXPECT_EQ(result.hex(curve),
            "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3");
  ASSERT_EQ(multiply(curve, result, i, from_peer), 0);
  EXPECT_EQ(result.hex(curve).substr(2, 64),
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
}

class EachCurve : public ::testing::TestWithParam<mbedtls_ecp_group_id> {
 protected:
  [[nodiscard]] std::unique_ptr<Number> random_scalar() {
    auto scalar = std::make_unique<Number>();
    EXPECT_EQ(mbedtls_ecp_gen_privkey(&curve_.group, &scalar->value, mbedtls_random, nullptr), 0);
    return scalar;
  }
  [[nodiscard]] std::unique_ptr<Point> random_point() {
    auto point = std::make_unique<Point>();
    EXPECT_EQ(__real_mbedtls_ecp_mul(&curve_.group, &point->value, &random_scalar()->value,
                                     &curve_.group.G, mbedtls_random, nullptr),
              0);
    return point;
  }
  Curve curve_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(FastCurves, EachCurve,
                         ::testing::Values(MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
                                           MBEDTLS_ECP_DP_SECP384R1));

TEST_P(EachCurve, TellsTheSameAsMbedTls) {
  for (int i = 0; i < 20; ++i) {
    const auto scalar = random_scalar();
    const auto point = random_point();
    for (const mbedtls_ecp_point* from : {&curve_.group.G, &point->value}) {
      Point ours;
      Point theirs;
      EXPECT_EQ(mbedtls_ecp_mul(&curve_.group, &ours.value, &scalar->value, from, mbedtls_random,
                                nullptr),
                0);
      EXPECT_EQ(__real_mbedtls_ecp_mul(&curve_.group, &theirs.value, &scalar->value, from,
                                       mbedtls_random, nullptr),
                0);
      EXPECT_EQ(ours.hex(curve_), theirs.hex(curve_));
    }
  }
}

TEST_P(EachCurve, RefusesAScalarThatIsNoPrivateKey) {
  Point result;
  for (const std::string_view hex : {"00", "ff", "01"}) {
    const Number scalar(hex == "ff" ? std::string(96, 'f') : std::string(hex));
    const int theirs = __real_mbedtls_ecp_mul(&curve_.group, &result.value, &scalar.value,
                                              &curve_.group.G, mbedtls_random, nullptr);
    EXPECT_EQ(mbedtls_ecp_mul(&curve_.group, &result.value, &scalar.value, &curve_.group.G,
                              mbedtls_random, nullptr),
              theirs);
    EXPECT_EQ(theirs != 0, hex != "01" || GetParam() == MBEDTLS_ECP_DP_CURVE25519);
  }
}

// Points of low order (RFC 7748 §6.1), and one that is not on the curve.
TEST_P(EachCurve, RefusesABadPoint) {
  std::vector<std::string> bad = {std::string(64, '0'), "01" + std::string(62, '0')};
  if (GetParam() == MBEDTLS_ECP_DP_SECP256R1) bad = {"04" + std::string(128, '1')};
  if (GetParam() == MBEDTLS_ECP_DP_SECP384R1) bad = {"04" + std::string(192, '1')};
  for (const std::string& hex : bad) {
    const Point point(curve_, hex);
    Point result;
    EXPECT_EQ(multiply(curve_, result, *random_scalar(), point), MBEDTLS_ERR_ECP_INVALID_KEY)
        << hex;
  }
}

// What the check of an ECDSA signature computes.
TEST(FastCurves, TheSumOfTwoProductsIsThatOfMbedTls) {
  Curve curve(MBEDTLS_ECP_DP_SECP256R1);
  const Number m("0123456789abcdef0123456789abcdef");
  const Number n("fedcba98765432100123456789abcdef0123456789abcdef0123456789abcdef");
  Point second;
  ASSERT_EQ(mbedtls_ecp_mul(&curve.group, &second.value, &m.value, &curve.group.G, mbedtls_random,
                            nullptr),
            0);
  for (const mbedtls_ecp_point* first : {&curve.group.G, &second.value}) {
    Point ours;
    Point theirs;
    ASSERT_EQ(mbedtls_ecp_muladd_restartable(&curve.group, &ours.value, &m.value, first, &n.value,
                                             &second.value, nullptr),
              0);
    ASSERT_EQ(__real_mbedtls_ecp_muladd_restartable(&curve.group, &theirs.value, &m.value, first,
                                                    &n.value, &second.value, nullptr),
              0);
    EXPECT_EQ(ours.hex(curve), theirs.hex(curve));
  }
}

}  // namespace
}  // namespace postern::crypto
