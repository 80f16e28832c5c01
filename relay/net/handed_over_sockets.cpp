// The supervisor's protocol: sd_listen_fds(3) and sd_notify(3).
#include "relay/net/handed_over_sockets.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

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
      for (int j = 0; j < static_cast<int>(*count); ++j) ::close(first_descriptor + j);
      return std::unexpected(std::move(one.error()));
    }
    sockets.push_back(*one);
  }
  return sockets;
}

Result<> notify_supervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return {};
  const std::string operation = "notify the supervisor at " + std::string(path);
  if (*path != '/' && *path != '@') {
    return fail(ErrorKind::unsupported, operation,
                "NOTIFY_SOCKET is neither a path nor an abstract name");
  }
  const auto address = LocalAddress::of(path);
  if (!address) return std::unexpected(address.error());
  std::string message(state);
  if (state.starts_with("RELOADING=1") && state.find("MONOTONIC_USEC=") == std::string_view::npos) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    message += "\nMONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1'000);
  }
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail_errno(operation, errno);
  const ssize_t sent = ::sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL,
                                address->get(), address->length);
  const int error_number = errno;
  ::close(descriptor);
  if (sent < 0) return fail_errno(operation, error_number);
  return {};
}

}  // namespace postern::net
