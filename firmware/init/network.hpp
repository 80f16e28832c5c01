// The box's network: every wired interface up, an address by DHCP, resolv.conf.
//
// Promise: nothing listens here but the DHCP socket while it asks. Sharp edge: IPv6 is left to the
// kernel's own address configuration (RFC 4862).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "firmware/init/dhcp.hpp"

namespace postern::firmware {

class DhcpClient {
 public:
  explicit DhcpClient(std::string interface);
  ~DhcpClient();
  DhcpClient(const DhcpClient&) = delete;
  DhcpClient& operator=(const DhcpClient&) = delete;

  // Call it when the descriptor is readable and at least every second.
  void step();
  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] const std::optional<DhcpLease>& lease() const { return lease_; }

 private:
  using Clock = std::chrono::steady_clock;
  void open();
  void close();
  void send();
  void receive();
  void apply();

  std::string interface_;
  HardwareAddress hardware_{};
  int fd_ = -1;
  std::uint32_t transaction_ = 0;
  std::optional<DhcpLease> offer_;
  std::optional<DhcpLease> lease_;
  Clock::time_point next_;
  std::chrono::seconds wait_{1};
};

void bring_up(const std::string& interface);
// The first wired interface that sysfs knows; empty when there is none (yet).
[[nodiscard]] std::string find_interface();
[[nodiscard]] std::string text_of(const Ipv4& address);

}  // namespace postern::firmware
