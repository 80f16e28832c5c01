// AES-GCM of long TLS records by libcrypto, below mbedTLS.
//
// mbedTLS takes 3 ms for a megabyte, libcrypto 0.3 ms with the same instructions of the processor;
// a scan is decrypted once and encrypted once. As in fast_curves.cpp the linker sends two public
// functions here, and what is unusual goes on to mbedTLS's own.
//
// Promise: a connection holds no more memory for it. Sharp edge: the key is read out of mbedTLS's
// key schedule, whose first octets it is (FIPS 197 §5.2); a test compares both libraries' results.
#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <cstddef>
#include <memory>

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
decltype(mbedtls_gcm_crypt_and_tag) __real_mbedtls_gcm_crypt_and_tag,
    __wrap_mbedtls_gcm_crypt_and_tag;
decltype(mbedtls_gcm_auth_decrypt) __real_mbedtls_gcm_auth_decrypt, __wrap_mbedtls_gcm_auth_decrypt;
}

namespace {

// Below it, making a context costs more than it saves.
constexpr std::size_t worth_octets = 1024;
constexpr std::size_t record_octets_max = std::size_t{1}
                                          << 20;  // far more than TLS has (RFC 8446 §5.2)
constexpr std::size_t iv_octets = 12;
constexpr std::size_t tag_octets = 16;

struct Free {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }  // wipes
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;

const EVP_CIPHER* cipher_for(int key_bits) {
  static const EVP_CIPHER* const aes_128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const aes_256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return key_bits == 128 ? aes_128 : key_bits == 256 ? aes_256 : nullptr;
}

// Ready for the record's text; empty where mbedTLS is to do it.
Context begin(const mbedtls_gcm_context& gcm, bool encrypt, std::size_t length,
              const unsigned char* iv, std::size_t iv_size, const unsigned char* added,
              std::size_t added_size, std::size_t tag_size) {
  if (length < worth_octets || length > record_octets_max || added_size > record_octets_max ||
      iv_size != iv_octets || tag_size != tag_octets) {
    return nullptr;
  }
  const mbedtls_cipher_context_t& block = gcm.MBEDTLS_PRIVATE(cipher_ctx);
  const mbedtls_cipher_type_t type = mbedtls_cipher_get_type(&block);
  if (type != MBEDTLS_CIPHER_AES_128_ECB && type != MBEDTLS_CIPHER_AES_256_ECB) return nullptr;
  const auto& aes = *static_cast<const mbedtls_aes_context*>(block.MBEDTLS_PRIVATE(cipher_ctx));
  const auto* key = reinterpret_cast<const unsigned char*>(aes.MBEDTLS_PRIVATE(buf) +
                                                           aes.MBEDTLS_PRIVATE(rk_offset));
  const EVP_CIPHER* cipher = cipher_for(mbedtls_cipher_get_key_bitlen(&block));
  Context context(EVP_CIPHER_CTX_new());
  int ignored = 0;
  if (cipher == nullptr || !context ||
      EVP_CipherInit_ex2(context.get(), cipher, key, iv, encrypt ? 1 : 0, nullptr) != 1 ||
      (added_size > 0 && EVP_CipherUpdate(context.get(), nullptr, &ignored, added,
                                          static_cast<int>(added_size)) != 1)) {
    ERR_clear_error();
    return nullptr;
  }
  return context;
}

bool crypt(const Context& context, std::size_t length, const unsigned char* input,
           unsigned char* output) {
  int written = 0;
  return EVP_CipherUpdate(context.get(), output, &written, input, static_cast<int>(length)) == 1 &&
         written == static_cast<int>(length);
}

bool finish(const Context& context, unsigned char* output_end) {
  int written = 0;
  const bool done = EVP_CipherFinal_ex(context.get(), output_end, &written) == 1 && written == 0;
  ERR_clear_error();
  return done;
}

}  // namespace

int __wrap_mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context* gcm, int mode, std::size_t length,
                                     const unsigned char* iv, std::size_t iv_size,
                                     const unsigned char* added, std::size_t added_size,
                                     const unsigned char* input, unsigned char* output,
                                     std::size_t tag_size, unsigned char* tag) {
  const Context context = mode == MBEDTLS_GCM_ENCRYPT
                              ? begin(*gcm, true, length, iv, iv_size, added, added_size, tag_size)
                              : nullptr;
  if (!context) {
    return __real_mbedtls_gcm_crypt_and_tag(gcm, mode, length, iv, iv_size, added, added_size,
                                            input, output, tag_size, tag);
  }
  const bool done = crypt(context, length, input, output) && finish(context, output + length) &&
                    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tag_octets, tag) == 1;
  return done ? 0 : MBEDTLS_ERR_GCM_BAD_INPUT;
}

int __wrap_mbedtls_gcm_auth_decrypt(mbedtls_gcm_context* gcm, std::size_t length,
                                    const unsigned char* iv, std::size_t iv_size,
                                    const unsigned char* added, std::size_t added_size,
                                    const unsigned char* tag, std::size_t tag_size,
                                    const unsigned char* input, unsigned char* output) {
  const Context context = begin(*gcm, false, length, iv, iv_size, added, added_size, tag_size);
  if (!context) {
    return __real_mbedtls_gcm_auth_decrypt(gcm, length, iv, iv_size, added, added_size, tag,
                                           tag_size, input, output);
  }
  const bool done = crypt(context, length, input, output) &&
                    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_octets,
                                        const_cast<unsigned char*>(tag)) == 1 &&
                    finish(context, output + length);
  if (done) return 0;
  mbedtls_platform_zeroize(output, length);  // as mbedTLS does with what did not authenticate
  return MBEDTLS_ERR_GCM_AUTH_FAILED;
}
// NOLINTEND(bugprone-reserved-identifier)
