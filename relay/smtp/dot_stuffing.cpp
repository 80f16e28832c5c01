// Dot-stuffing. Promise and sharp edge: see dot_stuffing.hpp.
#include "relay/smtp/dot_stuffing.hpp"

#include <string_view>

namespace postern::smtp {

std::string DotStuffer::stuff(ByteView content) {
  std::string_view rest = as_text(content);
  std::string out;
  if (rest.empty()) return out;
  out.reserve(rest.size() + rest.size() / 64 + 1);
  if (last_ == '\n' && rest.front() == '.') out += '.';
  before_last_ = rest.size() > 1 ? rest[rest.size() - 2] : last_;
  last_ = rest.back();
  // Line by line with memchr (find), because content is long and dots at line starts are rare.
  std::size_t line_feed = rest.find('\n');
  while (line_feed != std::string_view::npos) {
    out += rest.substr(0, line_feed + 1);
    rest.remove_prefix(line_feed + 1);
    if (!rest.empty() && rest.front() == '.') out += '.';
    line_feed = rest.find('\n');
  }
  out += rest;
  return out;
}

std::string DotStuffer::finish() {
  std::string end = ".\r\n";
  if (last_ == '\r') {
    end.insert(0, "\n");
  } else if (last_ != '\n' || before_last_ != '\r') {
    end.insert(0, "\r\n");
  }
  *this = DotStuffer();
  return end;
}

}  // namespace postern::smtp
