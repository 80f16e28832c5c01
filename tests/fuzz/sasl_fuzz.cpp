// links: postern_smtp
// PLAIN and LOGIN messages: what is accepted is bounded and clean.
#include "relay/base/assert.hpp"
#include "relay/smtp/sasl.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace postern;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // As base64 from the wire, and as the message itself, which base64 would hide from the fuzzer.
  if (const auto message = smtp::decode_initial_response(text)) {
    POSTERN_ASSERT(message->size() <= size);
  }
  const Secret message(text);
  if (const auto credential = smtp::parse_plain(message)) {
    POSTERN_ASSERT(!credential->user_name.empty());
    POSTERN_ASSERT(credential->user_name.size() <= smtp::user_name_bytes_max);
    POSTERN_ASSERT(credential->password.size() <= smtp::password_bytes_max);
  }
  if (const auto user_name = smtp::parse_login_user_name(message)) {
    POSTERN_ASSERT(user_name->find('\n') == std::string::npos);
  }
  if (const auto password = smtp::parse_login_password(message.clone())) {
    POSTERN_ASSERT(password->size() == size);
  }
  return 0;
}
