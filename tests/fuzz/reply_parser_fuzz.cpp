// links: postern_smtp
// Replies of a hostile upstream: whatever parses is bounded, and can be written and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/smtp/reply.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::smtp;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  ReplyParser parser;
  while (parser.feed(input) == ReplyParser::Status::complete) {
    const Reply reply = parser.take();
    POSTERN_ASSERT(reply.code >= 200 && reply.code < 600);
    POSTERN_ASSERT(!reply.lines.empty() && reply.lines.size() <= reply_lines_max);
    POSTERN_ASSERT(reply.text().size() <= reply_text_bytes_max);
    const std::string wire = reply.wire();
    std::string_view again = wire;
    POSTERN_ASSERT(ReplyParser().feed(again) == ReplyParser::Status::complete && again.empty());
  }
  return 0;
}
