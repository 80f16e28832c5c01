// What the supervisor (systemd) hands to the daemon and wants to hear from it, without its library.
//
// Promise: descriptors are taken only when LISTEN_PID names this process, and only when every one
// of them is a listening TCP socket; they are closed on exec, and the variables are gone
// afterwards, so that no child takes them again. Sharp edge: what is taken is taken out of the
// environment: do it before the first thread starts.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/base/error.hpp"
#include "relay/base/socket_address.hpp"

namespace postern::net {

inline constexpr int handed_over_descriptor_first =
    3;  // sd_listen_fds(3): after the standard three
inline constexpr std::size_t handed_over_sockets_max = 64;  // a unit file with more is a mistake

struct HandedOverSocket {
  int fd = -1;  // the caller's: TcpListener::adopt takes it
  SocketAddress address;
};

// Empty when nothing was handed over. On an Error nothing stays open.
[[nodiscard]] Result<std::vector<HandedOverSocket>> take_handed_over_sockets(
    int first_descriptor = handed_over_descriptor_first);

// For each of `addresses` the descriptor that stands in for it, or -1: a socket with exactly this
// address, else one with its port. An Error names a socket that fits none.
[[nodiscard]] Result<std::vector<int>> assign_sockets(std::span<const HandedOverSocket> sockets,
                                                      std::span<const SocketAddress> addresses);

// Another descriptor of the same listening socket, closed on exec.
[[nodiscard]] Result<int> duplicate_socket(int descriptor);

// A longer interval would watch nothing; it is taken as this one.
inline constexpr Duration watchdog_interval_max = std::chrono::days(1);

// Whoever started the daemon and listens at NOTIFY_SOCKET.
class Supervisor {
 public:
  Supervisor() = default;  // nobody listens
  [[nodiscard]] static Supervisor from_environment();
  // sd_watchdog_enabled(3): "WATCHDOG=1" must come at least once in this time; nothing where nobody
  // waits for it.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const { return watchdog_interval_; }
  // sd_notify(3): "READY=1", "STOPPING=1", "WATCHDOG=1", "RELOADING=1" (MONOTONIC_USEC, which
  // systemd asks for with it, is added). Nothing happens where nobody listens.
  [[nodiscard]] Result<> notify(std::string_view state) const;

 private:
  Supervisor(std::string path, std::optional<Duration> watchdog_interval)
      : path_(std::move(path)), watchdog_interval_(watchdog_interval) {}
  std::string path_;
  std::optional<Duration> watchdog_interval_;
};

}  // namespace postern::net
