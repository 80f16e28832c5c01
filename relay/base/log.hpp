// The log: one line an event, key=value, and nothing a peer sends can forge a line or a field.
//
//   log.event(LogLevel::info, "message-queued").field("queue_id", id).field("bytes", size);
//
// Promise: values are quoted when they hold anything but plain characters; control characters,
// quotes and octets outside ASCII are escaped; a value is cut at log_value_bytes_max. Each line is
// written with one write(2), so lines of threads do not mix. Secrets do not convert to a field (see
// secret.hpp). Sharp edge: the line goes out when the LogLine dies, at the end of the full
// expression.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "relay/base/callback.hpp"

namespace postern {

enum class LogLevel { debug, info, notice, warning, error };

// Longer values are cut and end in "…": a peer must not be able to fill the disk by one line.
inline constexpr std::size_t log_value_bytes_max = 512;

class Logger;

class LogLine {
 public:
  LogLine(Logger& logger, LogLevel level, std::string_view event);
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  ~LogLine();

  LogLine& field(std::string_view key, std::string_view value);
  LogLine& field(std::string_view key, const char* value) {
    return field(key, std::string_view(value));
  }
  LogLine& field(std::string_view key, bool value) {
    return field(key, std::string_view(value ? "yes" : "no"));
  }
  template <std::integral Number>
  LogLine& field(std::string_view key, Number value) {
    return field(key, std::string_view(std::to_string(value)));
  }

 private:
  Logger& logger_;
  LogLevel level_;
  std::string line_;
};

// Owned by the composition root (or a test) and handed down by reference. Thread-safe.
class Logger {
 public:
  // Where whole lines (with their line feed) go. Called from any thread.
  using Sink = Callback<LogLevel, std::string_view>;
  explicit Logger(Sink sink, LogLevel level_min = LogLevel::info);

  // Standard error; with journald behind it (JOURNAL_STREAM is set) lines carry "<N>" priorities
  // and no time of their own, because the journal adds one.
  [[nodiscard]] static Logger to_standard_error(LogLevel level_min = LogLevel::info);

  [[nodiscard]] LogLine event(LogLevel level, std::string_view name) {
    return {*this, level, name};
  }

 private:
  friend class LogLine;
  void write(LogLevel level, std::string_view line);
  Sink sink_;
  LogLevel level_min_;
};

// How one value is written in a line; public because the operator's command prints peers' text too.
[[nodiscard]] std::string quote_log_value(std::string_view value);

}  // namespace postern
