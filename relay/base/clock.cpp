// Reading the two clocks, and times written for people and standards.
#include "relay/base/clock.hpp"

#include <fmt/format.h>

#include <array>

namespace postern {
namespace {

struct CivilTime {
  std::chrono::year_month_day date;
  std::chrono::hh_mm_ss<Duration> time;
  std::chrono::weekday weekday;
};

CivilTime split(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  return {std::chrono::year_month_day(day), std::chrono::hh_mm_ss<Duration>(time - day),
          std::chrono::weekday(day)};
}

// Names are ours and not the locale's: RFC 5322 §3.3 knows English only.
constexpr std::array<const char*, 7> weekday_names = {"Sun", "Mon", "Tue", "Wed",
                                                      "Thu", "Fri", "Sat"};
constexpr std::array<const char*, 12> month_names = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

Now read_clocks() {
  using std::chrono::duration_cast;
  const auto steady = std::chrono::steady_clock::now().time_since_epoch();
  const auto wall = std::chrono::system_clock::now();
  return {MonotonicTime(duration_cast<Duration>(steady)),
          std::chrono::time_point_cast<Duration>(wall)};
}

std::string format_mail_date(WallTime time) {
  const CivilTime civil = split(time);
  return fmt::format("{}, {} {} {:04} {:02}:{:02}:{:02} +0000",
                     weekday_names[civil.weekday.c_encoding()],
                     static_cast<unsigned>(civil.date.day()),
                     month_names[static_cast<unsigned>(civil.date.month()) - 1],
                     static_cast<int>(civil.date.year()), civil.time.hours().count(),
                     civil.time.minutes().count(), civil.time.seconds().count());
}

std::string format_timestamp(WallTime time) {
  const CivilTime civil = split(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                     static_cast<int>(civil.date.year()), static_cast<unsigned>(civil.date.month()),
                     static_cast<unsigned>(civil.date.day()), civil.time.hours().count(),
                     civil.time.minutes().count(), civil.time.seconds().count(),
                     civil.time.subseconds().count());
}

std::string format_duration(Duration duration) {
  using namespace std::chrono;
  if (duration <= Duration::zero()) return "0s";
  std::int64_t seconds_left = ceil<seconds>(duration).count();
  struct Unit {
    std::int64_t seconds;
    char letter;
  };
  constexpr std::array<Unit, 4> units = {{{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}}};
  // Two units at most: what the second one cannot hold is rounded up, which may carry upwards
  // ("59m 59.5s" is "1h"), so rounding comes before splitting.
  for (std::size_t i = 0; i + 2 < units.size(); ++i) {
    if (seconds_left < units[i].seconds) continue;
    const std::int64_t grain = units[i + 1].seconds;
    seconds_left = (seconds_left + grain - 1) / grain * grain;
    break;
  }
  std::string text;
  int units_written = 0;
  for (const Unit& unit : units) {
    const std::int64_t count = seconds_left / unit.seconds;
    if (count == 0 || units_written == 2) continue;
    seconds_left %= unit.seconds;
    if (!text.empty()) text += ' ';
    text += fmt::format("{}{}", count, unit.letter);
    ++units_written;
  }
  return text;
}

}  // namespace postern
