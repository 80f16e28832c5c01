// links: postern_crypto
// A TLS client before a server that says anything: without our root's key no handshake ever ends
// well.
#include <algorithm>

#include "crypto/random.hpp"
#include "crypto/tls.hpp"
#include "relay/base/assert.hpp"
#include "tests/unit/crypto/test_certificates.cpp"

namespace {

std::shared_ptr<const postern::crypto::TlsClientContext> make_context() {
  POSTERN_ASSERT(postern::crypto::initialise().has_value());
  return *postern::crypto::TlsClientContext::create({postern::testing::TestAuthority().root_pem()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto context = make_context();
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} * 8 + 1;
  const postern::ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  auto engine = std::move(*postern::crypto::TlsEngine::client(context, "mail.example"));
  (void)engine->advance();
  for (std::size_t at = 0; at < input.size(); at += piece) {
    const auto status = engine->receive(input.subspan(at, std::min(piece, input.size() - at)));
    POSTERN_ASSERT(status != postern::crypto::TlsEngine::Status::ready);
    POSTERN_ASSERT(engine->take_plaintext().empty());
    (void)engine->take_output();
  }
  return 0;
}
