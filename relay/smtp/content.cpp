// The dot reader. Long runs are found by memchr and copied by memcpy; the state machine sees line
// ends only.
#include "relay/smtp/content.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace postern::smtp {
namespace {

// How much more than the limit is read in order to answer 552 and go on; beyond it nobody is helped
// by listening (RFC 1870 §6.3 lets the server give up).
constexpr std::uint64_t oversize_factor_max = 4;

constexpr std::string_view line_end = "\r\n";
constexpr std::size_t held_back_bytes_max = 2;  // a CR from the step before, and its LF

}  // namespace

ContentReader::ContentReader(BareNewline bare_newline)
    : bare_newline_(bare_newline),
      buffer_((bare_newline == BareNewline::normalize ? 2 : 1) * content_step_bytes_max +
              held_back_bytes_max) {}

void ContentReader::put(std::string_view octets) {
  if (octets.empty()) return;
  std::memcpy(buffer_.data() + filled_, octets.data(), octets.size());
  filled_ += octets.size();
}

// At least one octet of a line: up to its end, or up to the end of the input.
std::optional<ContentReader::Status> ContentReader::read_within_line(std::string_view& input) {
  const std::size_t feed = input.find('\n');
  const bool has_feed = feed != std::string_view::npos;
  const std::string_view run = has_feed ? input.substr(0, feed) : input;
  const std::size_t cr = run.find('\r');
  const std::size_t nul = run.find('\0');
  // A CR may only be the last octet before the LF, or the last one that has come so far. The
  // earlier fault is reported, so that the answer does not depend on how the input was cut.
  const bool bare_cr = cr != std::string_view::npos && cr + 1 != run.size();
  if (nul != std::string_view::npos && (!bare_cr || nul < cr)) return Status::nul;
  if (bare_cr) return Status::bare_carriage_return;
  if (!has_feed) {
    const bool ends_in_cr = cr != std::string_view::npos;
    put(run.substr(0, run.size() - (ends_in_cr ? 1 : 0)));
    if (ends_in_cr) position_ = Position::after_cr;
    input = {};
    return std::nullopt;
  }
  if (cr != std::string_view::npos) {
    put(input.substr(0, feed + 1));
    position_ = Position::line_start;
  } else {
    if (bare_newline_ == BareNewline::reject) return Status::bare_line_feed;
    put(run);
    put(line_end);
    position_ = Position::within_line;  // not line_start: see the sharp edge
  }
  input.remove_prefix(feed + 1);
  return std::nullopt;
}

ContentReader::Status ContentReader::read(std::string_view& input) {
  filled_ = 0;
  std::string_view step = input.substr(0, content_step_bytes_max);
  const std::string_view whole = step;
  while (!step.empty()) {
    const char c = step.front();
    switch (position_) {
      case Position::line_start:
        if (c == '.') {
          position_ = Position::after_dot;
          step.remove_prefix(1);
        } else {
          position_ = Position::within_line;
        }
        break;
      case Position::within_line:
        if (const auto fault = read_within_line(step)) return *fault;
        break;
      case Position::after_cr:
        if (c != '\n') return Status::bare_carriage_return;
        put(line_end);
        position_ = Position::line_start;
        step.remove_prefix(1);
        break;
      case Position::after_dot:
        if (c == '\r') {
          position_ = Position::after_dot_cr;
          step.remove_prefix(1);
        } else {
          position_ = Position::within_line;  // RFC 5321 §4.5.2: the dot itself is dropped
        }
        break;
      case Position::after_dot_cr:
        if (c != '\n') return Status::bare_carriage_return;
        position_ = Position::line_start;
        step.remove_prefix(1);
        input.remove_prefix(whole.size() - step.size());
        return Status::end;
    }
  }
  input.remove_prefix(whole.size());
  return Status::need_more;
}

Content::Content(BareNewline bare_newline, std::uint64_t message_bytes_max)
    : reader_(bare_newline), message_bytes_max_(message_bytes_max) {}

void Content::refuse(Reply reply) {
  if (!refusal_) refusal_ = std::move(reply);
}

Content::Progress Content::read(std::string_view& input) {
  const std::size_t before = input.size();
  const ContentReader::Status status = reader_.read(input);
  input_bytes_ += before - input.size();
  switch (status) {
    case ContentReader::Status::bare_carriage_return:
      poison_ =
          make_reply(550, {5, 6, 11}, "the message holds a bare carriage return (RFC 5321 2.3.8)");
      return Progress::poisoned;
    case ContentReader::Status::bare_line_feed:
      poison_ = make_reply(550, {5, 6, 11}, "the message holds a bare line feed (RFC 5321 2.3.8)");
      return Progress::poisoned;
    case ContentReader::Status::nul:
      poison_ = make_reply(550, {5, 6, 11}, "the message holds a NUL");
      return Progress::poisoned;
    case ContentReader::Status::need_more:
    case ContentReader::Status::end:
      break;
  }
  message_bytes_ += reader_.output().size();
  if (message_bytes_ > message_bytes_max_) {
    refuse(make_reply(552, {5, 3, 4}, "the message is longer than this relay takes"));
  }
  if (status == ContentReader::Status::end) return Progress::finished;
  constexpr auto limit_max = std::numeric_limits<std::uint64_t>::max() / oversize_factor_max;
  const std::uint64_t input_bytes_max =
      std::min(message_bytes_max_, limit_max) * oversize_factor_max;
  if (input_bytes_ <= input_bytes_max) return Progress::more;
  refuse(make_reply(552, {5, 3, 4}, "the message is longer than this relay takes"));
  return Progress::endless;
}

}  // namespace postern::smtp
