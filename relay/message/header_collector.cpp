// Splits streaming content into header and body. Promise and sharp edge: see header.hpp.
#include <algorithm>
#include <utility>

#include "relay/message/field_syntax.hpp"
#include "relay/message/header.hpp"

namespace postern::message {
namespace {
constexpr std::string_view line_end = "\r\n";
constexpr std::string_view header_end = "\r\n\r\n";
}  // namespace

HeaderCollector::Status HeaderCollector::feed(ByteView octets, ByteView& rest) {
  rest = {};
  if (too_long_) return Status::too_long;
  if (complete_) {
    rest = octets;
    return Status::complete;
  }
  // Room for the longest header and its empty line, so that a large piece is not copied whole.
  const std::size_t before = block_.size();
  const std::size_t room = header_bytes_max + line_end.size() - before;
  const std::size_t taken = std::min(octets.size(), room);
  block_ += as_text(octets.first(taken));

  if (!first_line_checked_) {
    const std::size_t end = block_.find(line_end, scanned_);
    if (end == 0) {  // content starts with the empty line: no header, only a body
      rest = octets.subspan(line_end.size() - before);
      block_.clear();
      complete_ = true;
      return Status::complete;
    }
    if (end != std::string::npos) {
      first_line_checked_ = true;
      if (!field_name_bytes(std::string_view(block_).substr(0, end))) {
        all_is_body();
        rest = octets.subspan(taken);
        return Status::complete;
      }
    }
  }
  const std::size_t end = block_.find(header_end, scanned_);
  if (end != std::string::npos) {
    rest = octets.subspan(end + header_end.size() - before);
    block_.resize(end + line_end.size());
    complete_ = true;
    return Status::complete;
  }
  scanned_ = block_.size() < header_end.size() ? 0 : block_.size() - (header_end.size() - 1);
  too_long_ = taken < octets.size() || block_.size() > header_bytes_max + 1;
  return too_long_ ? Status::too_long : Status::collecting;
}

void HeaderCollector::finish() {
  if (complete_) return;
  complete_ = true;
  if (!first_line_checked_ && !field_name_bytes(block_)) all_is_body();
}

void HeaderCollector::all_is_body() {
  body_prefix_ = std::exchange(block_, {});
  complete_ = true;
}

}  // namespace postern::message
