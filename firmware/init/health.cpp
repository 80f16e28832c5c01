// `postern health`; see the header.
#include "firmware/init/health.hpp"

#include <unistd.h>

#include <chrono>

#include "firmware/init/process.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr char known_faults_file[] = "/data/box/known-faults";
constexpr std::chrono::seconds check_time_max{90};  // the command waits a minute

int run_health(const char* option, std::string& told, const FeedWatchdog& feed) {
  const std::string configuration = std::string(configuration_directory) + "/postern.toml";
  return run_and_wait(
      {"/usr/bin/postern", "--config", configuration, "health", option, known_faults_file}, 0, told,
      feed, check_time_max);
}

}  // namespace

Health check_health(const FeedWatchdog& feed) {
  std::string told;
  const int code = run_health("--known", told, feed);
  say_lines(told);
  if (code == 0) return {true, {}};
  const std::string reason = value_behind(told, "postern: ");
  return {false, reason.empty() ? "the health check gave no answer in time" : reason};
}

void note_known_faults(bool relay_runs, const FeedWatchdog& feed) {
  ::unlink(known_faults_file);
  std::string told;
  if (relay_runs) static_cast<void>(run_health("--note", told, feed));
}

}  // namespace postern::firmware
