// The octets between 354 and the final dot (RFC 5321 §4.1.1.4, §4.5.2).
//
// Promise: only CRLF "." CRLF ends the data, and what comes out holds no bare CR, no bare LF and no
// NUL, is dot-unstuffed and ends every line by CRLF; however the input was cut. Memory is constant.
// Sharp edge: a bare LF that was normalised does not begin a line in the protocol's sense: a dot
// behind it is content, never the end of the data and never unstuffed. Smuggling lives on the
// opposite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "relay/base/bytes.hpp"
#include "relay/smtp/submission_session.hpp"

namespace postern::smtp {

// Input taken in one step; the buffer is at most twice that (a bare LF may become CRLF) and little
// more.
inline constexpr std::size_t content_step_bytes_max = std::size_t{32} * 1024;

class ContentReader {
 public:
  enum class Status { need_more, end, bare_carriage_return, bare_line_feed, nul };

  explicit ContentReader(BareNewline bare_newline);

  // Takes octets from `input` (at most one step's worth, nothing behind the final dot). After
  // need_more and end, output() holds what they gave; after a fault the message is lost and the
  // reader of no more use.
  Status read(std::string_view& input);
  // Valid until the next read().
  [[nodiscard]] ByteView output() const { return ByteView(buffer_).first(filled_); }

 private:
  enum class Position : std::uint8_t { line_start, within_line, after_cr, after_dot, after_dot_cr };

  std::optional<Status> read_within_line(std::string_view& input);
  void put(std::string_view octets);

  BareNewline bare_newline_;
  Position position_ = Position::line_start;
  Bytes buffer_;
  std::size_t filled_ = 0;
};

// One message's content against its limits.
class Content {
 public:
  Content(BareNewline bare_newline, std::uint64_t message_bytes_max);

  enum class Progress {
    more,      // go on
    finished,  // the final dot: commit, or answer refusal()
    poisoned,  // a bare newline or a NUL: answer once and close
    endless    // far beyond the limit: answer refusal() and close
  };
  Progress read(std::string_view& input);
  // What the driver gets now: empty once refused.
  [[nodiscard]] ByteView output() const { return refusal_ ? ByteView() : reader_.output(); }
  // The message will not be taken; the rest is read and thrown away. The first refusal stands.
  void refuse(Reply reply);
  [[nodiscard]] const std::optional<Reply>& refusal() const { return refusal_; }
  [[nodiscard]] const Reply& poison() const { return poison_; }

 private:
  ContentReader reader_;
  std::uint64_t message_bytes_max_;
  std::uint64_t message_bytes_ = 0;
  std::uint64_t input_bytes_ = 0;
  std::optional<Reply> refusal_;
  Reply poison_;
};

}  // namespace postern::smtp
