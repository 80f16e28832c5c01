// links: postern_smtp
// Command lines: any octets, in any pieces, give commands whose text can stand in a header field.
#include <algorithm>

#include "relay/base/assert.hpp"
#include "relay/smtp/command.hpp"
#include "relay/smtp/command_line_reader.hpp"

namespace {

void check_clean(std::string_view text) {
  POSTERN_ASSERT(text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace postern::smtp;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  CommandLineReader reader;
  while (!input.empty()) {
    const auto status = reader.read(input, false);
    if (status == CommandLineReader::Status::bare_newline) break;
    if (status == CommandLineReader::Status::need_more) break;
    const Command command = parse_command(reader.line());
    if (const auto* greeting = std::get_if<GreetingCommand>(&command.arguments)) {
      check_clean(greeting->client_name);
    } else if (const auto* mail = std::get_if<MailCommand>(&command.arguments)) {
      check_clean(mail->sender.reverse_path.text());
      if (mail->sender.envelope_id) check_clean(*mail->sender.envelope_id);
    } else if (const auto* rcpt = std::get_if<RcptCommand>(&command.arguments)) {
      check_clean(rcpt->recipient.mailbox.text());
      if (rcpt->recipient.original_recipient) check_clean(*rcpt->recipient.original_recipient);
    }
    reader.clear();
  }
  return 0;
}
