// The envelope as octets; see envelope_binding.hpp.
#include "storage/envelope_binding.hpp"

namespace postern::storage {

namespace {

constexpr unsigned octet_bits = 8;

void add_number(Bytes& bound, std::uint64_t number) {
  for (unsigned at = 0; at < sizeof number; ++at) {
    bound.push_back(static_cast<std::byte>(number >> (octet_bits * at)));
  }
}

void add_text(Bytes& bound, std::string_view text) {
  add_number(bound, text.size());
  append(bound, as_bytes(text));
}

}  // namespace

Bytes envelope_binding(std::string_view user_name, const StoredSender& sender,
                       const std::vector<StoredRecipient>& recipients) {
  Bytes bound;
  add_text(bound, user_name);
  add_text(bound, sender.reverse_path);
  add_text(bound, sender.parameters);
  add_number(bound, recipients.size());
  for (const StoredRecipient& recipient : recipients) {
    add_number(bound, static_cast<std::uint64_t>(recipient.index));
    add_text(bound, recipient.address);
    add_text(bound, recipient.parameters);
  }
  return bound;
}

Bytes envelope_binding(const NewMessage& message) {
  return envelope_binding(message.user_name, message.sender, message.recipients);
}

Bytes envelope_binding(const StoredMessage& message) {
  return envelope_binding(message.summary.user_name, message.sender, message.recipients);
}

}  // namespace postern::storage
