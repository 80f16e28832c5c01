// links: postern_smtp
// Mailboxes: what parses can be written, parsed again, and is the same.
#include "relay/base/assert.hpp"
#include "relay/base/bytes.hpp"
#include "relay/smtp/address.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool allow_utf8 : {false, true}) {
    const auto mailbox = postern::smtp::parse_mailbox(text, allow_utf8);
    if (!mailbox) continue;
    POSTERN_ASSERT(mailbox->local_part.size() <= postern::smtp::local_part_bytes_max);
    POSTERN_ASSERT(allow_utf8 || !mailbox->needs_smtputf8());
    // Quoting is put in its shortest form, which never grows what was given.
    POSTERN_ASSERT(postern::smtp::parse_mailbox(mailbox->text(), allow_utf8) == mailbox);
  }
  return 0;
}
