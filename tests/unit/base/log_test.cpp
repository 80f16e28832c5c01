// The log: no peer can forge a line or a field.
#include "relay/base/log.hpp"

#include <gtest/gtest.h>

#include "relay/base/secret.hpp"

namespace postern {
namespace {

struct Captured {
  std::vector<std::string> lines;
  Logger logger{[this](LogLevel, std::string_view line) { lines.emplace_back(line); }};
};

TEST(Log, OneEventIsOneLineOfFields) {
  Captured captured;
  captured.logger.event(LogLevel::info, "message-queued")
      .field("queue_id", "0ABC")
      .field("bytes", 12U)
      .field("tls", true)
      .field("client", "front desk");
  ASSERT_EQ(captured.lines.size(), 1U);
  EXPECT_EQ(captured.lines[0],
            "event=message-queued queue_id=0ABC bytes=12 tls=yes client=\"front desk\"\n");
}

TEST(Log, APeerCannotForgeALineOrAField) {
  Captured captured;
  captured.logger.event(LogLevel::warning, "bad-command")
      .field("line", "X\r\nevent=message-queued\" user=\"root")
      .field("octets", std::string_view("\0\x7f\x9b\xff\\", 5));
  ASSERT_EQ(captured.lines.size(), 1U);
  EXPECT_EQ(captured.lines[0],
            "event=bad-command line=\"X\\x0d\\x0aevent=message-queued\\\" user=\\\"root\" "
            "octets=\"\\x00\\x7f\\x9b\\xff\\\\\"\n");
}

TEST(Log, AnEqualsSignIsQuoted) { EXPECT_EQ(quote_log_value("a=b"), "\"a=b\""); }

TEST(Log, AnEmptyValueIsVisible) { EXPECT_EQ(quote_log_value(""), "\"\""); }

TEST(Log, LongValuesAreCut) {
  EXPECT_EQ(quote_log_value(std::string(log_value_bytes_max, 'a')),
            std::string(log_value_bytes_max, 'a'));
  EXPECT_EQ(quote_log_value(std::string(100'000, 'a')),
            '"' + std::string(log_value_bytes_max, 'a') + "\u2026\"");
}

TEST(Log, LevelsBelowTheMinimumAreDropped) {
  std::size_t lines = 0;
  Logger logger([&lines](LogLevel, std::string_view) { ++lines; }, LogLevel::warning);
  logger.event(LogLevel::notice, "quiet").field("a", 1);
  logger.event(LogLevel::warning, "loud").field("a", 1);
  EXPECT_EQ(lines, 1U);
}

template <class T>
concept Loggable = requires(LogLine line, const T& value) { line.field("key", value); };
static_assert(Loggable<std::string>);
static_assert(!Loggable<Secret>, "a secret must not reach the log");

}  // namespace
}  // namespace postern
