// Command lines out of a stream of octets.
//
// Promise: only CRLF ends a line (RFC 5321 §2.3.8); a CR or LF on its own is reported at once. A
// line beyond its limit is skipped to its end in constant memory and then reported. What was
// buffered is wiped, since it may be a password. Sharp edge: line() is valid until clear().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::smtp {

// With CRLF. RFC 5321 §4.5.3.1.4 asks for 512; every extension adds to it (RFC 3461 §4 and §4.2:
// 500 for ORCPT alone; RFC 6531; RFC 4954 §3: 500 for AUTH=), and 4,096 holds them all.
inline constexpr std::size_t command_line_bytes_max = 4096;
// RFC 4954 §4: the longest line an authentication exchange must take, with CRLF.
inline constexpr std::size_t auth_line_bytes_max = 12'288;

class CommandLineReader {
 public:
  enum class Status { need_more, line, too_long, bare_newline };

  CommandLineReader() = default;
  CommandLineReader(const CommandLineReader&) = delete;
  CommandLineReader& operator=(const CommandLineReader&) = delete;
  ~CommandLineReader() { clear(); }

  // Takes octets from `input` up to the end of one line. `in_exchange`: the line answers a
  // challenge of AUTH, and the longer limit is its from the start.
  Status read(std::string_view& input, bool in_exchange);
  // Without CRLF; after too_long its beginning, enough to recognise the verb.
  [[nodiscard]] std::string_view line() const { return line_; }
  [[nodiscard]] bool empty() const { return line_.empty() && !after_cr_ && !too_long_; }
  void clear();

 private:
  void append(std::string_view octets);
  void take(std::string_view& octets, std::size_t line_bytes_max);

  std::string line_;
  bool after_cr_ = false;
  bool too_long_ = false;
};

}  // namespace postern::smtp
