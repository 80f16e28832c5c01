// Keeps the clock right by SNTP: asks one server after the other, and sets or slews the clock.
//
// Promise: never blocks; asks at most every 15 seconds and, once it has an answer, every hour.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "firmware/init/dhcp.hpp"

namespace postern::firmware {

class TimeClient {
 public:
  explicit TimeClient(std::int64_t built) : built_(built) {}
  ~TimeClient();
  TimeClient(const TimeClient&) = delete;
  TimeClient& operator=(const TimeClient&) = delete;

  // Nothing is asked while there are none; the same ones again change nothing.
  void use(const std::vector<Ipv4>& servers);
  // Call it when the descriptor is readable and at least every second.
  void step();
  [[nodiscard]] int descriptor() const { return fd_; }
  // Whether the clock was set, not only slewed, since this was asked last.
  [[nodiscard]] bool take_jump() { return std::exchange(jumped_, false); }

 private:
  using Clock = std::chrono::steady_clock;
  void ask();
  void receive();
  void close();
  void give_up();

  std::int64_t built_;
  std::vector<Ipv4> servers_;
  std::size_t turn_ = 0;
  int fd_ = -1;
  bool jumped_ = false;
  bool failed_ = false;  // the server asked last refused or cannot be reached
  std::uint64_t number_ = 0;
  Clock::time_point next_{}, asked_{};
  std::chrono::seconds wait_{15};
};

}  // namespace postern::firmware
