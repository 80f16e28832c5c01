// links: postern_crypto
// A TLS server fed with hostile octets: it fails or waits, and never gives text before a handshake.
// The certificate is made at start, so that no private key lies in the repository.
#include <algorithm>

#include "crypto/random.hpp"
#include "crypto/tls.hpp"
#include "relay/base/assert.hpp"
#include "tests/unit/crypto/test_certificates.cpp"

namespace {

std::shared_ptr<const postern::crypto::TlsServerContext> make_context() {
  POSTERN_ASSERT(postern::crypto::initialise().has_value());
  const auto made = postern::testing::TestAuthority().issue("mail.example");
  return *postern::crypto::TlsServerContext::create(
      {made.certificate_pem, made.private_key_pem.clone()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto context = make_context();
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} * 8 + 1;
  const postern::ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  auto engine = std::move(*postern::crypto::TlsEngine::server(context));
  for (std::size_t at = 0; at < input.size(); at += piece) {
    (void)engine->receive(input.subspan(at, std::min(piece, input.size() - at)));
    (void)engine->take_output();
    POSTERN_ASSERT(engine->take_plaintext().empty());
  }
  engine->send_close_notify();
  return 0;
}
