// The clock's floor and its notes; see the header.
#include "firmware/init/clock_keeper.hpp"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::chrono::minutes note_every{10}, note_again_after{1};
constexpr char clock_file[] = "/data/clock";
constexpr std::int64_t clock_ahead_seconds_max = 20LL * 365 * 86'400;  // no image runs for longer

}  // namespace

std::int64_t image_date() {
  const std::string command_line = read_file("/proc/cmdline").value_or("");
  return number_in(parameter(command_line, "postern.built").value_or("0"));
}

// A box without a battery wakes in 1970: never earlier than the image was made, nor than it last
// ran. One that is far ahead is as wrong.
void set_clock_floor() {
  const std::int64_t latest = image_date() + clock_ahead_seconds_max;
  const std::int64_t noted = number_in(read_file(clock_file).value_or("0"));
  const std::int64_t floor = std::max(image_date(), noted <= latest ? noted : 0);
  const std::int64_t told = ::time(nullptr);
  if (told >= floor && told <= latest) return;
  const timeval now{floor, 0};
  if (::settimeofday(&now, nullptr) == 0) {
    say(std::string("the clock was ") + (told < floor ? "behind" : "far ahead") +
        "; it is set to the latest moment known");
  }
}

std::vector<Ipv4> time_servers(const InterfaceSettings& settings) {
  if (!settings.time_servers.empty() || !settings.router) return settings.time_servers;
  return {*settings.router};
}

void ClockNote::write_now_and_then() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  const bool written = replace_file(clock_file, std::to_string(::time(nullptr)) + "\n");
  const int error_number = errno;
  if (!written) say_errno("the clock could not be noted", error_number);
  next_ = now + (written ? note_every : note_again_after);
  failures_ = written || error_number == ENOSPC ? 0 : failures_ + 1;
}

}  // namespace postern::firmware
