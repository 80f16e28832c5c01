// Interface, address and route by the kernel's oldest calls; see the header.
#include "firmware/init/network.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::uint16_t server_port = 67, client_port = 68;  // RFC 2131 section 4.1
constexpr std::chrono::seconds wait_max{64};                 // RFC 2131 section 4.1
// Asked again after half of it (RFC 2131 section 4.4.5). A router that was changed gives another
// address or none; nobody shall wait a day for that, nor the network hear us every second.
constexpr std::uint32_t lease_seconds_max = 3600, lease_seconds_min = 30;
constexpr int messages_max = 64;  // at a time: who sends more shall not keep the box
// What a server gives may be no address at all; the console is not to be filled with that.
constexpr std::chrono::seconds giving_every{10};
// Of several interfaces one without a cable for so long is left: a switch that starts anew takes as
// much, and so do drivers to see theirs.
constexpr std::chrono::seconds cable_patience{10};

ifreq request_for(const std::string& interface) {
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  return request;
}

sockaddr_in socket_address(const Ipv4& address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  std::memcpy(&result.sin_addr, address.data(), address.size());
  return result;
}

bool set_address(int fd, const std::string& interface, unsigned long call, const Ipv4& address) {
  ifreq request = request_for(interface);
  const sockaddr_in value = socket_address(address, 0);
  std::memcpy(&request.ifr_addr, &value, sizeof value);
  return ::ioctl(fd, call, &request) == 0;
}

bool has_cable(const std::string& interface) {
  return read_file("/sys/class/net/" + interface + "/carrier").value_or("").starts_with('1');
}

// What it has by the router's advertisements goes with it.
void allow_ipv6(const std::string& interface, bool allowed) {
  // Missing where the kernel has no IPv6.
  static_cast<void>(
      write_file("/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6", allowed ? "0" : "1"));
}

// In place of the one that is there.
bool set_default_route(int fd, const std::string& interface, const std::optional<Ipv4>& router) {
  rtentry route{};
  const sockaddr_in any = socket_address({}, 0);
  std::memcpy(&route.rt_dst, &any, sizeof any);
  std::memcpy(&route.rt_genmask, &any, sizeof any);
  std::string name = interface;
  route.rt_dev = name.data();
  route.rt_flags = RTF_UP;
  if (::ioctl(fd, SIOCDELRT, &route) != 0 && errno != ESRCH) return false;
  if (!router) return true;
  const sockaddr_in gateway = socket_address(*router, 0);
  std::memcpy(&route.rt_gateway, &gateway, sizeof gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return ::ioctl(fd, SIOCADDRT, &route) == 0;
}

void take_address(const std::string& interface) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (!set_address(fd, interface, SIOCSIFADDR, {})) say_errno("address of " + interface, errno);
  ::close(fd);
}

// 0.0.0.0 when it has none.
Ipv4 address_of(const std::string& interface) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = request_for(interface);
  Ipv4 address{};
  if (::ioctl(fd, SIOCGIFADDR, &request) == 0) {
    sockaddr_in found{};
    std::memcpy(&found, &request.ifr_addr, sizeof found);
    std::memcpy(address.data(), &found.sin_addr, address.size());
  }
  ::close(fd);
  return address;
}

std::vector<std::string> wired_interfaces() {
  std::vector<std::string> names = directory_names("/sys/class/net");
  std::erase_if(names, [](const std::string& name) {
    const auto kind = read_file("/sys/class/net/" + name + "/type");
    return !kind || trimmed(*kind) != "1";  // ARPHRD_ETHER
  });
  return names;
}

}  // namespace

void bring_up(const std::string& interface) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = request_for(interface);
  if (::ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    static_cast<void>(::ioctl(fd, SIOCSIFFLAGS, &request));
  }
  ::close(fd);
}

DhcpClient::DhcpClient(std::string interface)
    : interface_(std::move(interface)), next_(Clock::now()) {}

DhcpClient::~DhcpClient() { close(); }

void DhcpClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void DhcpClient::open() {
  fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const sockaddr_in own = socket_address({}, client_port);
  ifreq request = request_for(interface_);
  if (::setsockopt(fd_, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) != 0 ||
      ::setsockopt(fd_, SOL_SOCKET, SO_BINDTODEVICE, interface_.c_str(),
                   static_cast<socklen_t>(interface_.size())) != 0 ||
      ::bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
      ::ioctl(fd_, SIOCGIFHWADDR, &request) != 0) {
    say_errno("DHCP on " + interface_, errno);
    return close();
  }
  std::memcpy(hardware_.data(), request.ifr_hwaddr.sa_data, hardware_.size());
  if (::getrandom(&transaction_, sizeof transaction_, 0) != sizeof transaction_) transaction_ = 1;
  offer_.reset();
  wait_ = std::chrono::seconds(1);
}

void DhcpClient::send() {
  const auto message = dhcp_message(offer_ ? DhcpKind::request : DhcpKind::discover, transaction_,
                                    hardware_, offer_ ? &*offer_ : nullptr);
  const sockaddr_in everybody = socket_address({255, 255, 255, 255}, server_port);
  // The interface may be another one under its name: then this socket leads nowhere.
  if (::sendto(fd_, message.data(), message.size(), 0,
               reinterpret_cast<const sockaddr*>(&everybody), sizeof everybody) < 0) {
    close();
  }
}

void DhcpClient::receive() {
  std::array<std::uint8_t, 1500> buffer{};
  for (int taken = 0; fd_ >= 0 && taken < messages_max; ++taken) {
    const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (count <= 0) return;
    const auto reply = read_dhcp_reply(std::span(buffer).first(static_cast<std::size_t>(count)),
                                       transaction_, hardware_);
    if (!reply) continue;
    if (reply->kind == DhcpKind::offer && !offer_) {
      offer_ = reply;
      send();
    } else if (reply->kind == DhcpKind::acknowledge && offer_) {
      lease_ = reply;
      return wait_for_renewal();
    } else if (reply->kind == DhcpKind::refuse) {
      offer_.reset();
    }
  }
}

// By asking from the start: the same server gives the same address.
void DhcpClient::wait_for_renewal() {
  const auto seconds = std::clamp(lease_->seconds, lease_seconds_min, lease_seconds_max);
  next_ = Clock::now() + std::chrono::seconds(seconds / 2);
  close();
}

void DhcpClient::step() {
  if (fd_ >= 0) receive();
  if (Clock::now() < next_) return;
  if (fd_ < 0) open();
  if (fd_ >= 0) send();
  next_ = Clock::now() + wait_;
  wait_ = std::min(wait_ * 2, wait_max);
}

void Network::use(const std::optional<InterfaceSettings>& fixed) {
  if (fixed == fixed_) return;
  fixed_ = fixed;
  dhcp_.reset();
  next_giving_ = {};
}

void Network::look_for_interface() {
  const auto now = Clock::now();
  const bool there =
      !interface_.empty() && ::access(("/sys/class/net/" + interface_).c_str(), F_OK) == 0;
  if (there && has_cable(interface_)) {
    // It may lead to another network now.
    if (std::exchange(cable_gone_, false)) dhcp_.reset();
    cable_seen_ = now;
    return;
  }
  cable_gone_ = there;
  const std::vector<std::string> names = wired_interfaces();
  for (const std::string& name : names) {
    // The relay must not answer on a network that it was not given to.
    if (name != interface_) allow_ipv6(name, false);
    bring_up(name);  // one that is down does not tell of its cable
  }
  if (names.empty()) {
    cable_seen_ = now;
    interface_.clear();
    dhcp_.reset();
    given_.reset();
  }
  const bool at_once = interface_.empty() && !names.empty() && has_cable(names.front());
  if (names.size() > 1 && !at_once && now - cable_seen_ < cable_patience) return;
  const auto with_cable = std::ranges::find_if(names, has_cable);
  if (with_cable == names.end() && (there || names.empty())) return;
  choose(with_cable == names.end() ? names.front() : *with_cable, there);
}

void Network::choose(const std::string& interface, bool old_is_there) {
  if (old_is_there) {
    take_address(interface_);  // with it go the routes, which would lead nowhere
    allow_ipv6(interface_, false);
  }
  interface_ = interface;
  cable_gone_ = false;
  allow_ipv6(interface_, true);
  dhcp_.reset();
  given_.reset();
}

void Network::step() {
  look_for_interface();
  if (interface_.empty()) return;
  if (!fixed_ && !dhcp_) dhcp_ = std::make_unique<DhcpClient>(interface_);
  if (dhcp_) dhcp_->step();
  if (fixed_) return give(*fixed_);
  if (dhcp_->lease()) return give(*dhcp_->lease());
  if (given_) give(InterfaceSettings(*given_));  // until somebody answers
}

void Network::give(const InterfaceSettings& settings) {
  const auto now = Clock::now();
  const bool has_it = whole_ && address_of(interface_) == settings.address;
  if (given_ == settings && (now < next_giving_ || has_it)) return;
  next_giving_ = now + giving_every;
  given_ = settings;
  bring_up(interface_);  // one that was pulled and plugged in again is down
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool addressed = set_address(fd, interface_, SIOCSIFADDR, settings.address) &&
                         set_address(fd, interface_, SIOCSIFNETMASK, settings.mask);
  if (!addressed) say_errno("address of " + interface_, errno);
  const bool routed = set_default_route(fd, interface_, settings.router);
  if (!routed) say_errno("route of " + interface_, errno);
  ::close(fd);
  std::string servers;
  for (const Ipv4& server : settings.name_servers)
    servers += "nameserver " + text_of(server) + "\n";
  const bool named = write_file("/run/resolv.conf", servers);
  if (!named) say("the name servers could not be written");
  whole_ = addressed && routed && named;
}

}  // namespace postern::firmware
