// The box's clock between SNTP and a battery that may be missing.
//
// Promise: the clock never goes behind the image's date nor behind the last moment that the box
// noted, and one that is further ahead than an image may run is not believed. Sharp edge: a note is
// at most ten minutes old when the plug is pulled.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "firmware/init/network.hpp"

namespace postern::firmware {

// Seconds since 1970, from the kernel's command line.
[[nodiscard]] std::int64_t image_date();

void set_clock_floor();

// Those that DHCP (RFC 2132 section 8.3) or the configuration names; without any the router, which
// in an office often knows the time.
[[nodiscard]] std::vector<Ipv4> time_servers(const InterfaceSettings& settings);

class ClockNote {
 public:
  void write_now_and_then();
  // The last ones could not be written, and not because the medium is full.
  [[nodiscard]] bool medium_failed() const { return failures_ >= failures_max; }

 private:
  static constexpr int failures_max = 3;  // one may be a bad moment
  int failures_ = 0;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace postern::firmware
