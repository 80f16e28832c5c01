// RSA signatures by libcrypto; see the header.
//
// The key is read by mbedTLS as every other key, and its eight numbers are handed over: libcrypto's
// own readers would keep their decoders in memory and do not wipe all that they read through.
#include "crypto/rsa_signer.hpp"

#include <mbedtls/rsa.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <bit>

#include "crypto/mbedtls_support.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

namespace {

struct Number {
  Number() { mbedtls_mpi_init(&value); }
  ~Number() { mbedtls_mpi_free(&value); }  // wipes
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  mbedtls_mpi value;
};

struct FreeContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, FreeContext>;

// The names of OSSL_PARAM in the order in which `export_numbers` fills them.
constexpr std::array number_names = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_FACTOR1,     OSSL_PKEY_PARAM_RSA_FACTOR2,
    OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_E,           OSSL_PKEY_PARAM_RSA_EXPONENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
using Numbers = std::array<Number, number_names.size()>;

int export_numbers(const mbedtls_rsa_context& key, Numbers& to) {
  const int code = mbedtls_rsa_export(&key, &to[0].value, &to[1].value, &to[2].value, &to[3].value,
                                      &to[4].value);
  return code != 0 ? code : mbedtls_rsa_export_crt(&key, &to[5].value, &to[6].value, &to[7].value);
}

// The oldest entry of the thread's error queue, which is emptied: it belongs to whoever comes next.
std::unexpected<Error> openssl_failure(std::string operation) {
  std::array<char, 200> words{};
  OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr);
  ERR_error_string_n(ERR_get_error(), words.data(), words.size());
  ERR_clear_error();
  return fail(ErrorKind::io, std::move(operation), words.data());
}

}  // namespace

void RsaSigner::Free::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

Result<RsaSigner> RsaSigner::make(const mbedtls_rsa_context& key) {
  const char* const operation = "hand an RSA key to libcrypto";
  Numbers numbers;
  if (const int code = export_numbers(key, numbers); code != 0) {
    return fail(ErrorKind::invalid, operation, mbedtls_words(code));
  }
  static_assert(std::endian::native == std::endian::little);  // OSSL_PARAM has the machine's order
  std::array<Secret, number_names.size()> octets;
  std::array<OSSL_PARAM, number_names.size() + 1> parameters{};
  for (std::size_t i = 0; i < number_names.size(); ++i) {
    octets[i] = Secret::of_size(mbedtls_mpi_size(&numbers[i].value));
    auto* to = reinterpret_cast<unsigned char*>(octets[i].writable().data());
    (void)mbedtls_mpi_write_binary_le(&numbers[i].value, to, octets[i].size());  // it has room
    parameters[i] = OSSL_PARAM_construct_BN(number_names[i], to, octets[i].size());
  }
  parameters.back() = OSSL_PARAM_construct_end();

  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) <= 0 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, parameters.data()) <= 0) {
    return openssl_failure(operation);
  }
  return RsaSigner(made);
}

Result<Bytes> RsaSigner::sign(std::span<const std::byte, 32> sha256) const {
  const Context context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  Bytes signature(static_cast<std::size_t>(EVP_PKEY_get_size(key_.get())));
  std::size_t size = signature.size();
  if (!context || EVP_PKEY_sign_init(context.get()) <= 0 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) <= 0 ||
      EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) <= 0 ||
      EVP_PKEY_sign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                    reinterpret_cast<const unsigned char*>(sha256.data()), sha256.size()) <= 0) {
    return openssl_failure("make an RSA signature");
  }
  signature.resize(size);
  return signature;
}

}  // namespace postern::crypto
