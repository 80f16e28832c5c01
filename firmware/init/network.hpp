// The box's network: an address by DHCP or as configured for one wired interface, resolv.conf. Of
// several it is the first with a cable in it; the others have none, and no IPv6.
//
// Promise: nothing listens here but the DHCP socket while it asks; an interface that was pulled and
// comes back gets its address again. Sharp edge: IPv6 is left to the kernel's own address
// configuration (RFC 4862).
#pragma once

#include <chrono>
#include <memory>
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
  void wait_for_renewal();

  std::string interface_;
  HardwareAddress hardware_{};
  int fd_ = -1;
  std::uint32_t transaction_ = 0;
  std::optional<DhcpLease> offer_;
  std::optional<DhcpLease> lease_;
  Clock::time_point next_;
  std::chrono::seconds wait_{1};
};

class Network {
 public:
  // Nothing: by DHCP. The same again changes nothing.
  void use(const std::optional<InterfaceSettings>& fixed);
  // Call it when the descriptor is readable and at least every second.
  void step();
  [[nodiscard]] int descriptor() const { return dhcp_ ? dhcp_->descriptor() : -1; }
  // What the interface has; nothing before the first.
  [[nodiscard]] const std::optional<InterfaceSettings>& settings() const { return given_; }

 private:
  using Clock = std::chrono::steady_clock;
  void look_for_interface();
  void choose(const std::string& interface, bool old_is_there);
  void give(const InterfaceSettings& settings);

  std::string interface_;
  std::optional<InterfaceSettings> fixed_, given_;
  std::unique_ptr<DhcpClient> dhcp_;
  bool cable_gone_ = false;
  bool whole_ = false;  // all of what was given last
  Clock::time_point next_giving_{}, cable_seen_ = Clock::now();
};

void bring_up(const std::string& interface);

}  // namespace postern::firmware
