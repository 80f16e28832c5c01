// Replies: what a server says, as code, enhanced status code and lines (RFC 5321 §4.2, RFC 3463,
// RFC 2034).
//
// Promise: one type for replies we write and replies we read, so that an outcome, a log line and a
// delivery status notification all quote the same thing. ReplyParser is bounded:
// reply_line_bytes_max octets a line and reply_lines_max lines, beyond which the upstream is
// treated as no SMTP server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::smtp {

inline constexpr std::size_t reply_line_bytes_max =
    2048;                                            // RFC 5321 §4.5.3.1.5 asks for 512; be lenient
inline constexpr std::size_t reply_lines_max = 128;  // no EHLO answer seen is longer than 40
inline constexpr std::size_t reply_text_bytes_max =
    512;  // Reply::text(): a peer's words in logs and reports

struct EnhancedStatus {           // RFC 3463 §2
  std::uint8_t status_class = 0;  // 2, 4 or 5
  std::uint16_t subject = 0;
  std::uint16_t detail = 0;
  [[nodiscard]] std::string text() const;
  bool operator==(const EnhancedStatus&) const = default;
  // "5.7.1" at the start of `text`, followed by the end or a space.
  [[nodiscard]] static std::optional<EnhancedStatus> parse_prefix(std::string_view text);
};

struct Reply {
  std::uint16_t code = 0;  // 200..599
  std::optional<EnhancedStatus> enhanced;
  std::vector<std::string>
      lines;  // without code and enhanced status code; at least one, may be empty

  [[nodiscard]] bool transient_failure() const { return code >= 400 && code < 500; }
  [[nodiscard]] bool permanent_failure() const { return code >= 500 && code < 600; }
  // With CRLFs, ready for the wire; octets that must not stand in a reply become '?'.
  [[nodiscard]] std::string wire() const;
  // One line for people: "550 5.1.1 no such user / second line"; cut at reply_text_bytes_max.
  [[nodiscard]] std::string text() const;
  bool operator==(const Reply&) const = default;
};

// Makes a reply: make_reply(250, {2, 1, 0}, "sender accepted").
// As much of a peer's reply as text() shows: what is kept of it for each of many recipients.
[[nodiscard]] Reply shortened(const Reply& reply);

[[nodiscard]] Reply make_reply(std::uint16_t code, EnhancedStatus enhanced, std::string_view text);
[[nodiscard]] Reply make_reply(std::uint16_t code,
                               std::string_view text);  // 354, 334, 220, EHLO: none wanted

// Reads replies out of a byte stream, line by line.
class ReplyParser {
 public:
  enum class Status { need_more, complete, malformed };
  // Consumes from `input` (removing what it took) up to the end of one reply.
  Status feed(std::string_view& input);
  // After `complete`: the reply; the parser is ready for the next one.
  [[nodiscard]] Reply take();

 private:
  std::string line_;
  Reply reply_;
  bool first_line_ = true;
  bool parse_line(std::string_view line, bool& last);
};

}  // namespace postern::smtp
