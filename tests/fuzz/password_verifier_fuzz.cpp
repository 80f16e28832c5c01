// links: postern_crypto
// A verifier from a configuration: whatever the octets, it is read or refused, and what is read
// reads again.
#include "crypto/password.hpp"
#include "relay/base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using postern::crypto::PasswordVerifier;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto verifier = PasswordVerifier::parse(text)) {
    POSTERN_ASSERT(verifier->text() == text);
    POSTERN_ASSERT(PasswordVerifier::parse(verifier->text()).has_value());
    POSTERN_ASSERT(text.find('\0') == std::string::npos);
  }
  return 0;
}
