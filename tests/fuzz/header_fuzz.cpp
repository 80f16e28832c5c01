// links: postern_message
// Header collecting and parsing: the split does not depend on the pieces, and no octet is lost.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/message/header.hpp"

namespace {

using namespace postern;
using namespace postern::message;

std::string split(std::string_view content, std::size_t piece_bytes, std::string& body) {
  HeaderCollector collector;
  while (!content.empty()) {
    const std::string_view piece = content.substr(0, piece_bytes);
    content.remove_prefix(piece.size());
    const bool before = collector.complete();
    ByteView rest;
    if (collector.feed(as_bytes(piece), rest) == HeaderCollector::Status::too_long)
      return "too long";
    if (!before && collector.complete()) body += collector.body_prefix();
    body += as_text(rest);
  }
  if (!collector.complete()) {
    collector.finish();
    body += collector.body_prefix();
  }
  return std::string(collector.block());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string body_whole;
  std::string body_pieces;
  const std::string block = split(content, content.size() + 1, body_whole);
  POSTERN_ASSERT(block == split(content, data[0] % 64U + 1U, body_pieces));
  POSTERN_ASSERT(body_whole == body_pieces);
  auto header = Header::parse(block);
  if (!header) return 0;
  POSTERN_ASSERT(header->octets().starts_with(block) || header->fields().empty());
  SubmissionFacts facts;
  facts.hostname = "relay.example";
  facts.client_name = content.substr(0, 40);
  facts.user_name = content.substr(0, 40);
  const std::size_t fields = header->fields().size();
  if (!fix_up(*header, facts)) return 0;
  const auto again = Header::parse(header->octets());
  POSTERN_ASSERT(again && again->fields().size() == header->fields().size());
  POSTERN_ASSERT(again->fields().size() <= fields + 3);
  return 0;
}
