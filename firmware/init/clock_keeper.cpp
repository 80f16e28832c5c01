// The clock's floor and its notes; see the header.
#include "firmware/init/clock_keeper.hpp"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <string>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::chrono::minutes note_every{10};
constexpr char clock_file[] = "/data/clock";

std::int64_t number_in(std::string_view text) {
  std::int64_t value = 0;
  const std::string_view digits = trimmed(text);
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace

std::int64_t image_date() {
  const std::string command_line = read_file("/proc/cmdline").value_or("");
  return number_in(parameter(command_line, "postern.built").value_or("0"));
}

// A box without a battery wakes in 1970: never earlier than the image was made, nor than it last
// ran.
void set_clock_floor() {
  const std::int64_t floor = std::max(image_date(), number_in(read_file(clock_file).value_or("0")));
  if (::time(nullptr) >= floor) return;
  const timeval now{floor, 0};
  if (::settimeofday(&now, nullptr) == 0)
    say("the clock was behind; it is set to the latest moment known");
}

std::vector<Ipv4> time_servers(const InterfaceSettings& settings) {
  if (!settings.time_servers.empty() || !settings.router) return settings.time_servers;
  return {*settings.router};
}

void ClockNote::write_now_and_then() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + note_every;
  const std::string fresh = std::string(clock_file) + ".new";
  if (!write_file(fresh, std::to_string(::time(nullptr)) + "\n") ||
      ::rename(fresh.c_str(), clock_file) != 0)
    say_errno("the clock could not be noted", errno);
}

}  // namespace postern::firmware
