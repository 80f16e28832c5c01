// Starting programs of the image with no more rights than they need.
//
// Promise: a program started for a user has that user alone, no capability but the one to listen on
// ports below 1024 where asked for, and cannot gain any.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace postern::firmware {

struct Launch {
  std::vector<std::string> words;  // the program's path first
  std::vector<std::string> environment;
  unsigned user = 0;
  bool low_ports = false;
  int output = -1;  // for standard output and error; -1: the console
};

// The new process's id, or -1.
[[nodiscard]] pid_t launch(const Launch& what);

// The exit code, or -1 when it did not end by itself or not within `time_max`. `output`: what it
// said, at most 64 KiB. `meanwhile` is called at least every second: a key or a
// file system may take longer than the watchdog waits.
[[nodiscard]] int run_and_wait(const std::vector<std::string>& words, unsigned user,
                               std::string& output, const std::function<void()>& meanwhile,
                               std::chrono::seconds time_max = std::chrono::hours(2));

}  // namespace postern::firmware
