// AES-GCM of long TLS records by libcrypto, below mbedTLS.
//
// mbedTLS takes 3 ms for a megabyte, libcrypto 0.3 ms with the same instructions of the processor;
// a scan is decrypted once and encrypted once. As in fast_curves.cpp the linker sends four public
// functions here, and what is unusual goes on to mbedTLS's own.
//
// The key is noted when it is set, beside the context's address, as mbedTLS gives it back to
// nobody.
//
// Promise: the keys are wiped when their contexts are freed or get another; a context that is not
// known here, and a short record, is mbedTLS's own affair; a connection holds 200 octets more for
// it. Any thread. Sharp edge: a context that was copied octet by octet is not known here.
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
decltype(mbedtls_gcm_setkey) __real_mbedtls_gcm_setkey, __wrap_mbedtls_gcm_setkey;
decltype(mbedtls_gcm_free) __real_mbedtls_gcm_free, __wrap_mbedtls_gcm_free;
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

class Key {
 public:
  // `bits`: 128 or 256.
  Key(const unsigned char* octets, unsigned bits) : bits_(bits) {
    std::copy_n(octets, bits / 8, octets_.begin());
  }
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key() { sodium_memzero(octets_.data(), octets_.size()); }
  [[nodiscard]] const unsigned char* octets() const { return octets_.data(); }
  // Null where libcrypto has none.
  [[nodiscard]] const EVP_CIPHER* cipher() const {
    static const EVP_CIPHER* const aes_128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
    static const EVP_CIPHER* const aes_256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    return bits_ == 128 ? aes_128 : aes_256;
  }

 private:
  std::array<unsigned char, 32> octets_{};
  unsigned bits_;
};

// Of every connection: mbedTLS has no place in its contexts for what is not its own.
class Keys {
 public:
  static Keys& all() {
    static Keys& keys = *new Keys;  // never destroyed: a context may be freed at the very end
    return keys;
  }
  void set(const mbedtls_gcm_context* gcm, const Key& key) {
    const std::scoped_lock lock(mutex_);
    keys_.insert_or_assign(gcm, key);
  }
  void forget(const mbedtls_gcm_context* gcm) {
    const std::scoped_lock lock(mutex_);
    keys_.erase(gcm);
  }
  [[nodiscard]] std::optional<Key> find(const mbedtls_gcm_context* gcm) {
    const std::scoped_lock lock(mutex_);
    const auto found = keys_.find(gcm);
    return found == keys_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const mbedtls_gcm_context*, Key> keys_;
};

// Ready for the record's text; empty where mbedTLS is to do it.
Context begin(const mbedtls_gcm_context& gcm, bool encrypt, std::size_t length,
              const unsigned char* iv, std::size_t iv_size, const unsigned char* added,
              std::size_t added_size, std::size_t tag_size) {
  if (length < worth_octets || length > record_octets_max || added_size > record_octets_max ||
      iv_size != iv_octets || tag_size != tag_octets) {
    return nullptr;
  }
  const auto key = Keys::all().find(&gcm);
  if (!key) return nullptr;
  Context context(EVP_CIPHER_CTX_new());
  int ignored = 0;
  if (key->cipher() == nullptr || !context ||
      EVP_CipherInit_ex2(context.get(), key->cipher(), key->octets(), iv, encrypt ? 1 : 0,
                         nullptr) != 1 ||
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

int __wrap_mbedtls_gcm_setkey(mbedtls_gcm_context* gcm, mbedtls_cipher_id_t cipher,
                              const unsigned char* key, unsigned bits) {
  const int code = __real_mbedtls_gcm_setkey(gcm, cipher, key, bits);
  if (code == 0 && cipher == MBEDTLS_CIPHER_ID_AES && (bits == 128 || bits == 256)) {
    Keys::all().set(gcm, Key(key, bits));
  } else {
    Keys::all().forget(gcm);
  }
  return code;
}

void __wrap_mbedtls_gcm_free(mbedtls_gcm_context* gcm) {
  Keys::all().forget(gcm);
  __real_mbedtls_gcm_free(gcm);
}

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
