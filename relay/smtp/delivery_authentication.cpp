// AUTH lines of the client. Promise: see delivery_authentication.hpp.
#include "relay/smtp/delivery_authentication.hpp"

#include <algorithm>
#include <string>

#include "relay/base/encoding.hpp"

namespace postern::smtp {
namespace {

Secret encode(ByteView bytes) {
  std::string encoded = encode_base64(bytes);
  return Secret::take_from(encoded);
}

// Copies `part` to `at` of a Secret that has room for it and returns where it ended.
std::size_t put(Secret& secret, std::size_t at, std::string_view part) {
  const ByteView bytes = as_bytes(part);
  std::copy(bytes.begin(), bytes.end(),
            secret.writable().begin() + static_cast<std::ptrdiff_t>(at));
  return at + part.size();
}

}  // namespace

Secret plain_response(std::string_view user_name, const Secret& password) {
  Secret message = Secret::of_size(user_name.size() + password.size() + 2);  // the NULs are there
  const std::size_t end = put(message, 1, user_name);
  put(message, end + 1, password.text());
  return encode(message.view());
}

Secret login_response(std::string_view answer) { return encode(as_bytes(answer)); }

Secret credential_line(std::string_view prefix, const Secret& response) {
  Secret line = Secret::of_size(prefix.size() + response.size() + 2);
  std::size_t end = put(line, 0, prefix);
  end = put(line, end, response.text());
  put(line, end, "\r\n");
  return line;
}

}  // namespace postern::smtp
