// Reading lines, with limits, and leaving no copy of them behind.
#include "relay/smtp/command_line_reader.hpp"

#include <algorithm>
#include <span>

#include "relay/base/secret.hpp"
#include "relay/smtp/command.hpp"

namespace postern::smtp {
namespace {

void wipe_text(std::string& text) {
  text.resize(text.capacity());
  wipe(std::as_writable_bytes(std::span(text.data(), text.size())));
  text.clear();
}

}  // namespace

void CommandLineReader::clear() {
  wipe_text(line_);
  // Kept for the next command, but not what a long AUTH line needed: memory per connection is
  // bounded.
  if (line_.capacity() > command_line_bytes_max) std::string().swap(line_);
  after_cr_ = false;
  too_long_ = false;
}

void CommandLineReader::append(std::string_view octets) {
  if (line_.size() + octets.size() > line_.capacity()) {
    // Grown by hand: std::string would free its old memory with the beginning of a password in it.
    constexpr std::size_t capacity_min = 512;
    std::string larger;
    larger.reserve(std::max({capacity_min, line_.size() * 2, line_.size() + octets.size()}));
    larger = line_;
    wipe_text(line_);
    line_.swap(larger);
  }
  line_ += octets;
}

void CommandLineReader::take(std::string_view& octets, std::size_t line_bytes_max) {
  const std::size_t text_bytes_max = line_bytes_max - 2;  // the CRLF counts
  if (line_.size() >= text_bytes_max) return;
  const std::size_t count = std::min(octets.size(), text_bytes_max - line_.size());
  append(octets.substr(0, count));
  octets.remove_prefix(count);
}

CommandLineReader::Status CommandLineReader::read(std::string_view& input, bool in_exchange) {
  while (!input.empty()) {
    if (after_cr_) {
      if (input.front() != '\n') return Status::bare_newline;
      input.remove_prefix(1);
      return too_long_ ? Status::too_long : Status::line;
    }
    const std::size_t run = std::min(input.find_first_of("\r\n"), input.size());
    if (!too_long_) {
      std::string_view rest = input.substr(0, run);
      take(rest, in_exchange ? auth_line_bytes_max : command_line_bytes_max);
      // Asked only at the short limit: by then the verb is known, however the octets came.
      if (!rest.empty() && recognise_verb(line_) == Verb::auth) take(rest, auth_line_bytes_max);
      too_long_ = !rest.empty();
    }
    input.remove_prefix(run);
    if (input.empty()) break;
    if (input.front() == '\n') return Status::bare_newline;
    after_cr_ = true;
    input.remove_prefix(1);
  }
  return Status::need_more;
}

}  // namespace postern::smtp
