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

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::uint16_t server_port = 67, client_port = 68;  // RFC 2131 section 4.1
constexpr std::chrono::seconds wait_max{64};                 // RFC 2131 section 4.1
constexpr std::uint32_t lease_seconds_max = 86'400;          // ask at least once a day

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

bool set_default_route(int fd, const std::string& interface, const Ipv4& router) {
  rtentry route{};
  const sockaddr_in any = socket_address({}, 0), gateway = socket_address(router, 0);
  std::memcpy(&route.rt_dst, &any, sizeof any);
  std::memcpy(&route.rt_genmask, &any, sizeof any);
  std::memcpy(&route.rt_gateway, &gateway, sizeof gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  std::string name = interface;
  route.rt_dev = name.data();
  return ::ioctl(fd, SIOCADDRT, &route) == 0 || errno == EEXIST;
}

}  // namespace

std::string text_of(const Ipv4& address) {
  std::string text;
  for (const std::uint8_t part : address) text += (text.empty() ? "" : ".") + std::to_string(part);
  return text;
}

void bring_up(const std::string& interface) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = request_for(interface);
  if (::ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(fd, SIOCSIFFLAGS, &request) != 0) say_errno("interface " + interface, errno);
  }
  ::close(fd);
}

std::string find_interface() {
  for (const std::string& name : directory_names("/sys/class/net")) {
    const auto kind = read_file("/sys/class/net/" + name + "/type");
    if (kind && trimmed(*kind) == "1") return name;  // ARPHRD_ETHER
  }
  return {};
}

DhcpClient::DhcpClient(std::string interface) : interface_(std::move(interface)) {
  bring_up(interface_);
  next_ = Clock::now();
}

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
  static_cast<void>(::sendto(fd_, message.data(), message.size(), 0,
                             reinterpret_cast<const sockaddr*>(&everybody), sizeof everybody));
}

void DhcpClient::receive() {
  std::array<std::uint8_t, 1500> buffer{};
  for (;;) {
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
      return apply();
    } else if (reply->kind == DhcpKind::refuse) {
      offer_.reset();
    }
  }
}

void DhcpClient::apply() {
  if (!set_address(fd_, interface_, SIOCSIFADDR, lease_->address) ||
      !set_address(fd_, interface_, SIOCSIFNETMASK, lease_->mask)) {
    say_errno("address of " + interface_, errno);
  }
  if (lease_->router && !set_default_route(fd_, interface_, *lease_->router))
    say_errno("route of " + interface_, errno);
  std::string servers;
  for (const Ipv4& server : lease_->name_servers) servers += "nameserver " + text_of(server) + "\n";
  if (!write_file("/run/resolv.conf", servers)) say("the name servers could not be written");
  // Half the lease (RFC 2131 section 4.4.5), by asking from the start: the same server gives the
  // same address.
  next_ = Clock::now() + std::chrono::seconds(std::min(lease_->seconds, lease_seconds_max) / 2 + 1);
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

}  // namespace postern::firmware
