// The costly arithmetic of mbedTLS's elliptic curves, done by faster libraries: P-256 by libcrypto,
// X25519 by libsodium.
//
// mbedTLS takes 1.5 ms for the server's side of a handshake; with this it takes 0.25 ms. Its own
// way to put in something faster needs a rebuilt mbedTLS, so the linker sends what its files ask of
// these three public functions here (`--wrap`, CMakeLists.txt). Everything around them stays
// mbedTLS's.
//
// Promise: what multiplies by a secret takes the same time whatever the secret is; copies of it are
// wiped; whatever is unusual (another curve, a bad point, no memory) goes on to mbedTLS's own
// function, which knows the right error. Sharp edge: calls inside mbedTLS's ecp.c do not come here.
#include <mbedtls/ecp.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <sodium.h>

#include <array>
#include <cstddef>
#include <memory>

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
decltype(mbedtls_ecp_mul) __real_mbedtls_ecp_mul, __wrap_mbedtls_ecp_mul;
decltype(mbedtls_ecp_mul_restartable) __wrap_mbedtls_ecp_mul_restartable;
decltype(mbedtls_ecp_muladd_restartable) __real_mbedtls_ecp_muladd_restartable,
    __wrap_mbedtls_ecp_muladd_restartable;
}

namespace {

constexpr std::size_t scalar_octets = 32;     // of both curves
constexpr std::size_t point_octets_max = 65;  // RFC 8446 §4.2.8.2: 4, X, Y

struct Free {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
  void operator()(EC_POINT* point) const { EC_POINT_clear_free(point); }
};
using Number = std::unique_ptr<BIGNUM, Free>;
using Context = std::unique_ptr<BN_CTX, Free>;
using Point = std::unique_ptr<EC_POINT, Free>;

// Octets on their way from one library to the other, wiped: points may be a shared secret.
template <std::size_t size>
struct Octets {
  std::array<unsigned char, size> value{};
  ~Octets() { sodium_memzero(value.data(), value.size()); }
};

// Never changed and never freed: to make one takes as long as a multiplication.
const EC_GROUP* p256() {
  static const EC_GROUP* const curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  return curve;
}

// Empty as well when `scalar` is not from 1 to the order less 1.
Number to_libcrypto(const mbedtls_ecp_group& group, const mbedtls_mpi& scalar) {
  Octets<scalar_octets> octets;
  if (mbedtls_ecp_check_privkey(&group, &scalar) != 0 ||
      mbedtls_mpi_write_binary_le(&scalar, octets.value.data(), octets.value.size()) != 0) {
    return nullptr;
  }
  return Number(BN_lebin2bn(octets.value.data(), scalar_octets, nullptr));
}

// Empty as well when the point is not on the curve.
Point to_libcrypto(const mbedtls_ecp_group& group, const mbedtls_ecp_point& from) {
  Octets<point_octets_max> octets;
  std::size_t size = 0;
  Point point(EC_POINT_new(p256()));
  if (!point ||
      mbedtls_ecp_point_write_binary(&group, &from, MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                     octets.value.data(), octets.value.size()) != 0 ||
      EC_POINT_oct2point(p256(), point.get(), octets.value.data(), size, nullptr) != 1) {
    return nullptr;
  }
  return point;
}

bool is_generator(const mbedtls_ecp_group& group, const mbedtls_ecp_point& point) {
  return mbedtls_ecp_point_cmp(&point, &group.G) == 0;
}

// `of_generator` times the generator plus `of_point` times `point`, each where it is given.
bool multiply_p256(mbedtls_ecp_group& group, mbedtls_ecp_point& result,
                   const mbedtls_mpi* of_generator, const mbedtls_mpi* of_point,
                   const mbedtls_ecp_point* point) {
  if (p256() == nullptr) return false;
  const Context context(BN_CTX_new());
  const Number m = of_generator != nullptr ? to_libcrypto(group, *of_generator) : nullptr;
  const Number n = of_point != nullptr ? to_libcrypto(group, *of_point) : nullptr;
  const Point from = point != nullptr ? to_libcrypto(group, *point) : nullptr;
  const Point to(EC_POINT_new(p256()));
  if (!context || !to || (of_generator != nullptr && !m) ||
      (of_point != nullptr && (!n || !from))) {
    return false;
  }
  Octets<point_octets_max> octets;
  return EC_POINT_mul(p256(), to.get(), m.get(), from.get(), n.get(), context.get()) == 1 &&
         EC_POINT_point2oct(p256(), to.get(), POINT_CONVERSION_UNCOMPRESSED, octets.value.data(),
                            octets.value.size(), context.get()) == octets.value.size() &&
         mbedtls_ecp_point_read_binary(&group, &result, octets.value.data(), octets.value.size()) ==
             0;
}

bool multiply_x25519(mbedtls_ecp_group& group, mbedtls_ecp_point& result, const mbedtls_mpi& scalar,
                     const mbedtls_ecp_point& point) {
  Octets<crypto_scalarmult_SCALARBYTES> k;
  Octets<crypto_scalarmult_BYTES> u;
  Octets<crypto_scalarmult_BYTES> product;
  std::size_t size = 0;
  if (mbedtls_ecp_check_privkey(&group, &scalar) != 0 ||
      mbedtls_mpi_write_binary_le(&scalar, k.value.data(), k.value.size()) != 0 ||
      mbedtls_ecp_point_write_binary(&group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                     u.value.data(), u.value.size()) != 0) {
    return false;
  }
  // RFC 7748 §6.1: a result of zero, from a point of low order, is refused.
  const int code = is_generator(group, point)
                       ? crypto_scalarmult_base(product.value.data(), k.value.data())
                       : crypto_scalarmult(product.value.data(), k.value.data(), u.value.data());
  return code == 0 && mbedtls_ecp_point_read_binary(&group, &result, product.value.data(),
                                                    product.value.size()) == 0;
}

bool multiply(mbedtls_ecp_group& group, mbedtls_ecp_point& result, const mbedtls_mpi& scalar,
              const mbedtls_ecp_point& point) {
  if (group.id == MBEDTLS_ECP_DP_CURVE25519) {
    return multiply_x25519(group, result, scalar, point);
  }
  if (group.id != MBEDTLS_ECP_DP_SECP256R1) return false;
  return is_generator(group, point) ? multiply_p256(group, result, &scalar, nullptr, nullptr)
                                    : multiply_p256(group, result, nullptr, &scalar, &point);
}

}  // namespace

int __wrap_mbedtls_ecp_mul(mbedtls_ecp_group* group, mbedtls_ecp_point* result,
                           const mbedtls_mpi* scalar, const mbedtls_ecp_point* point,
                           mbedtls_f_rng_t* random, void* random_state) {
  if (multiply(*group, *result, *scalar, *point)) return 0;
  ERR_clear_error();
  return __real_mbedtls_ecp_mul(group, result, scalar, point, random, random_state);
}

// Nobody here limits the operations after which mbedTLS would stop and restart.
int __wrap_mbedtls_ecp_mul_restartable(mbedtls_ecp_group* group, mbedtls_ecp_point* result,
                                       const mbedtls_mpi* scalar, const mbedtls_ecp_point* point,
                                       mbedtls_f_rng_t* random, void* random_state,
                                       mbedtls_ecp_restart_ctx* /*none*/) {
  return __wrap_mbedtls_ecp_mul(group, result, scalar, point, random, random_state);
}

// In the check of an ECDSA signature, where nothing is secret.
int __wrap_mbedtls_ecp_muladd_restartable(mbedtls_ecp_group* group, mbedtls_ecp_point* result,
                                          const mbedtls_mpi* m, const mbedtls_ecp_point* first,
                                          const mbedtls_mpi* n, const mbedtls_ecp_point* second,
                                          mbedtls_ecp_restart_ctx* restart) {
  if (group->id == MBEDTLS_ECP_DP_SECP256R1 && is_generator(*group, *first) &&
      multiply_p256(*group, *result, m, n, second)) {
    return 0;
  }
  ERR_clear_error();
  return __real_mbedtls_ecp_muladd_restartable(group, result, m, first, n, second, restart);
}
// NOLINTEND(bugprone-reserved-identifier)
