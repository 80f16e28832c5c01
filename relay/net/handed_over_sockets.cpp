// The supervisor's protocol: sd_listen_fds(3) and sd_notify(3).
#include "relay/net/handed_over_sockets.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "relay/base/file.hpp"
#include "relay/base/text.hpp"
#include "relay/net/local_address.hpp"
#include "relay/net/os_address.hpp"

namespace postern::net {

namespace {

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string result = value == nullptr ? "" : value;
  unsetenv(name);
  return result;
}

std::optional<int> socket_option(int descriptor, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(descriptor, SOL_SOCKET, option, &value, &length) != 0) return std::nullopt;
  return value;
}

Result<HandedOverSocket> check_socket(int descriptor) {
  std::string operation = "take the handed-over descriptor " + std::to_string(descriptor);
  if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) return fail_errno(std::move(operation), errno);
  if (socket_option(descriptor, SO_TYPE) != SOCK_STREAM) {
    return fail(ErrorKind::invalid, std::move(operation),
                "it is not a stream socket; use ListenStream= in the socket unit");
  }
  if (socket_option(descriptor, SO_ACCEPTCONN) != 1) {
    return fail(ErrorKind::invalid, std::move(operation),
                "it does not listen; use Accept=no in the socket unit");
  }
  const auto address = own_address(descriptor);
  if (!address) {
    return fail(ErrorKind::invalid, std::move(operation),
                "it is not a TCP socket; give ListenStream= an address and a port, not a path");
  }
  return HandedOverSocket{descriptor, *address};
}

}  // namespace

Result<std::vector<HandedOverSocket>> take_handed_over_sockets(int first_descriptor) {
  const std::string process = take_variable("LISTEN_PID");
  const std::string count_text = take_variable("LISTEN_FDS");
  take_variable("LISTEN_FDNAMES");
  std::vector<HandedOverSocket> sockets;
  // Meant for another process: a parent that was started the same way, for one.
  if (process.empty() || parse_decimal<pid_t>(process) != getpid()) return sockets;
  const auto count = parse_decimal<unsigned>(count_text);
  if (!count || *count > handed_over_sockets_max) {
    return fail(ErrorKind::invalid, "take the handed-over sockets",
                "LISTEN_FDS is not a number from 0 to " + std::to_string(handed_over_sockets_max));
  }
  for (int i = 0; i < static_cast<int>(*count); ++i) {
    Result<HandedOverSocket> one = check_socket(first_descriptor + i);
    if (!one) {
      for (int j = 0; j < static_cast<int>(*count); ++j)
        FileDescriptor(first_descriptor + j).reset();
      return std::unexpected(std::move(one.error()));
    }
    sockets.push_back(*one);
  }
  return sockets;
}

Result<std::vector<int>> assign_sockets(std::span<const HandedOverSocket> sockets,
                                        std::span<const SocketAddress> addresses) {
  std::vector<int> assigned(addresses.size(), -1);
  std::vector<bool> used(sockets.size());
  // All exact matches first, so that a match by port takes no other socket's place.
  for (const bool exactly : {true, false}) {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      for (std::size_t j = 0; j < addresses.size() && !used[i]; ++j) {
        const bool fits = exactly ? sockets[i].address == addresses[j]
                                  : sockets[i].address.port == addresses[j].port;
        if (!fits || assigned[j] >= 0) continue;
        assigned[j] = sockets[i].fd;
        used[i] = true;
      }
    }
  }
  const auto left = std::ranges::find(used, false);
  if (left == used.end()) return assigned;
  const auto& socket = sockets[static_cast<std::size_t>(left - used.begin())];
  return fail(ErrorKind::invalid,
              "take the socket " + socket.address.text() + " from the supervisor",
              "no [[listener]] of its own has its port; add one, so that the relay knows its TLS "
              "mode, or take the port out of the socket unit");
}

Result<int> duplicate_socket(int descriptor) {
  const int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    return fail_errno("duplicate the listening socket in descriptor " + std::to_string(descriptor),
                      errno);
  }
  return copy;
}

Supervisor Supervisor::from_environment() {
  std::string path = take_variable("NOTIFY_SOCKET");
  const std::string process = take_variable("WATCHDOG_PID");
  const auto microseconds = parse_decimal<std::int64_t>(take_variable("WATCHDOG_USEC"));
  // Without WATCHDOG_PID the watchdog means every process that got the variable.
  const bool ours = process.empty() || parse_decimal<pid_t>(process) == getpid();
  std::optional<Duration> interval;
  if (!path.empty() && ours && microseconds && *microseconds > 0) {
    constexpr auto most =
        std::chrono::duration_cast<std::chrono::microseconds>(watchdog_interval_max).count();
    interval = std::chrono::duration_cast<Duration>(
        std::chrono::microseconds(std::min<std::int64_t>(*microseconds, most)));
  }
  return Supervisor(std::move(path), interval);
}

Result<> Supervisor::notify(std::string_view state) const {
  if (path_.empty()) return {};
  const std::string operation = "notify the supervisor at " + path_;
  if (path_.front() != '/' && path_.front() != '@') {
    return fail(ErrorKind::unsupported, operation,
                "NOTIFY_SOCKET is neither a path nor an abstract name");
  }
  const auto address = LocalAddress::of(path_);
  if (!address) return std::unexpected(address.error());
  std::string message(state);
  if (state.starts_with("RELOADING=1") && state.find("MONOTONIC_USEC=") == std::string_view::npos) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    message += "\nMONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1'000);
  }
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail_errno(operation, errno);
  // A supervisor that is busy leaves a few notes unread, and the next would wait for it with the
  // whole loop. A sign of life comes again; the other states are told once.
  const int flags = MSG_NOSIGNAL | (state == "WATCHDOG=1" ? MSG_DONTWAIT : 0);
  const ssize_t sent =
      ::sendto(descriptor, message.data(), message.size(), flags, address->get(), address->length);
  const int error_number = errno;
  ::close(descriptor);
  if (sent < 0) return fail_errno(operation, error_number);
  return {};
}

}  // namespace postern::net
