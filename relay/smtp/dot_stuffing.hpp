// Transparency for DATA (RFC 5321 §4.5.2): a dot at the start of a line is doubled, a dot alone
// ends it.
//
// Promise: content may be cut anywhere between calls; nothing in it can end the data early. Sharp
// edge: a dot is doubled after a bare LF too. Content of ours never holds one, but were one to slip
// in, a lenient upstream must not take "LF . CRLF" as the end and the rest as commands.
#pragma once

#include <string>

#include "relay/base/bytes.hpp"

namespace postern::smtp {

class DotStuffer {
 public:
  // The octets to send for the next piece of content.
  [[nodiscard]] std::string stuff(ByteView content);
  // What ends the content: ".CRLF", with the CRLF before it that the content lacks. Ready for the
  // next one.
  [[nodiscard]] std::string finish();

 private:
  char before_last_ = '\r';  // the two octets sent last; content starts at the start of a line
  char last_ = '\n';
};

}  // namespace postern::smtp
