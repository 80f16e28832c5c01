// Log lines: quoting, priorities and the one write.
#include "relay/base/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "relay/base/clock.hpp"
#include "relay/base/text.hpp"

namespace postern {
namespace {

constexpr std::string_view ellipsis = "\u2026";

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::notice:
      return "notice";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

// The journal reads "<N>" at a line's start as the priority of syslog(3).
int journal_priority(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return 7;
    case LogLevel::info:
      return 6;
    case LogLevel::notice:
      return 5;
    case LogLevel::warning:
      return 4;
    case LogLevel::error:
      return 3;
  }
  return 3;
}

bool is_plain(char c) {
  return is_letter(c) || is_digit(c) ||
         std::string_view("-_.:/@+,<>[]()%*!?#;&~$").find(c) != std::string_view::npos;
}

void write_whole(std::string_view line) {
  // One write(2) a line: pipes and the journal's stream keep it whole. Only what an interrupted or
  // short write left over is sent again. Nobody is left to be told that the log itself fails.
  while (!line.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;
    }
    line.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string quote_log_value(std::string_view value) {
  const bool cut = value.size() > log_value_bytes_max;
  if (cut) value = value.substr(0, log_value_bytes_max);
  if (!cut && !value.empty() && std::all_of(value.begin(), value.end(), is_plain)) {
    return std::string(value);
  }
  std::string text = "\"";
  text.reserve(value.size() + 8);
  for (const char c : value) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (octet < 0x20 || octet >= 0x7F) {
      // Octets, not characters: an escape must never depend on somebody's encoding.
      text += fmt::format("\\x{:02x}", octet);
    } else {
      text += c;
    }
  }
  if (cut) text += ellipsis;
  text += '"';
  return text;
}

LogLine::LogLine(Logger& logger, LogLevel level, std::string_view event)
    : logger_(logger), level_(level), line_("event=") {
  line_ += quote_log_value(event);
}

LogLine::~LogLine() {
  line_ += '\n';
  logger_.write(level_, line_);
}

LogLine& LogLine::field(std::string_view key, std::string_view value) {
  line_ += ' ';
  line_ += key;
  line_ += '=';
  line_ += quote_log_value(value);
  return *this;
}

Logger::Logger(Sink sink, LogLevel level_min) : sink_(std::move(sink)), level_min_(level_min) {}

Logger Logger::to_standard_error(LogLevel level_min) {
  // The environment is read once, here, before there are threads.
  const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  return Logger(
      [journal](LogLevel level, std::string_view line) {
        const std::string prefix =
            journal ? fmt::format("<{}>", journal_priority(level))
                    : fmt::format("{} level={} ", format_timestamp(read_clocks().wall),
                                  level_name(level));
        write_whole(prefix + std::string(line));
      },
      level_min);
}

void Logger::write(LogLevel level, std::string_view line) {
  if (level < level_min_) return;
  sink_(level, line);
}

}  // namespace postern
