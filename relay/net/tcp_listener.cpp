// Listening for TCP connections: sockets of our own and sockets handed over.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "relay/net/acceptor.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/connection_parts.hpp"
#include "relay/net/os_address.hpp"

namespace postern::net {

struct TcpListener::Parts {
  SocketAddress address;
  AcceptorHandle acceptor;

  // Takes `descriptor`, but not when it fails.
  static Result<std::unique_ptr<TcpListener>> on_descriptor(
      Loop& loop, int descriptor, Callback<std::unique_ptr<Connection>> accepted) {
    const auto address = own_address(descriptor);
    if (!address) {
      return fail(ErrorKind::invalid, "listen", "the socket has no IPv4 or IPv6 address");
    }
    // The owner's callback lives in the acceptor, which libuv keeps until it is closed: the
    // callback may destroy this listener.
    auto acceptor = Acceptor::start(
        loop, descriptor, [&loop, accepted = std::move(accepted)](int accepted_descriptor) mutable {
          auto connection = Connection::Parts::from_descriptor(loop, accepted_descriptor);
          if (connection) accepted(std::move(*connection));  // else it was gone again already
        });
    if (!acceptor) return std::unexpected(std::move(acceptor.error()));
    std::unique_ptr<TcpListener> listener(new TcpListener());
    listener->parts_ = new Parts{*address, std::move(*acceptor)};
    return listener;
  }
};

namespace {

std::unexpected<Error> fail_listen(const SocketAddress& address, int error_number) {
  std::string operation = "listen on " + address.text();
  switch (error_number) {
    case EADDRINUSE:
      return fail(
          ErrorKind::busy, std::move(operation),
          "port in use by another program; stop it (`ss -ltnp` shows it) or choose another port");
    case EACCES:
      return fail(
          ErrorKind::denied, std::move(operation),
          "permission denied: a port below 1024 needs the capability CAP_NET_BIND_SERVICE, or "
          "a socket unit that holds it");
    case EADDRNOTAVAIL:
      return fail(ErrorKind::not_found, std::move(operation),
                  "no network interface of this host has this address; correct the address, or use "
                  "0.0.0.0 or [::] for all of them");
    default:
      return fail_errno(std::move(operation), error_number);
  }
}

// A bound socket that does not listen yet.
Result<int> bind_socket(const SocketAddress& address, bool share_port) {
  const int family = address.address.is_ipv6 ? AF_INET6 : AF_INET;
  const int descriptor = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail_listen(address, errno);
  const int on = 1;
  // A restart must not wait for old connections in TIME-WAIT.
  bool sound = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
  if (share_port)
    sound = sound && setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
  const OsAddress os_address = to_os_address(address);
  sound = sound && ::bind(descriptor, os_address.get(), os_address.length) == 0;
  if (sound) return descriptor;
  const int error_number = errno;
  ::close(descriptor);
  return fail_listen(address, error_number);
}

}  // namespace

TcpListener::TcpListener() : parts_(nullptr) {}
TcpListener::~TcpListener() { delete parts_; }
const SocketAddress& TcpListener::address() const { return parts_->address; }

Result<> TcpListener::check_free(const SocketAddress& address) {
  const auto bound = bind_socket(address, false);
  if (!bound) return std::unexpected(bound.error());
  ::close(*bound);
  return {};
}

Result<std::unique_ptr<TcpListener>> TcpListener::listen(
    Loop& loop, const SocketAddress& address, bool share_port,
    Callback<std::unique_ptr<Connection>> accepted) {
  const auto descriptor = bind_socket(address, share_port);
  if (!descriptor) return std::unexpected(descriptor.error());
  if (::listen(*descriptor, listen_backlog_connections) != 0) {
    const int error_number = errno;
    ::close(*descriptor);
    return fail_listen(address, error_number);
  }
  auto listener = Parts::on_descriptor(loop, *descriptor, std::move(accepted));
  if (!listener) ::close(*descriptor);
  return listener;
}

Result<std::unique_ptr<TcpListener>> TcpListener::adopt(
    Loop& loop, int fd, Callback<std::unique_ptr<Connection>> accepted) {
  const std::string operation = "adopt the listening socket in descriptor " + std::to_string(fd);
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) != 0)
    return fail_errno(operation, errno);
  if (value != SOCK_STREAM) return fail(ErrorKind::invalid, operation, "it is not a stream socket");
  length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) != 0) {
    return fail_errno(operation, errno);
  }
  if (value == 0) return fail(ErrorKind::invalid, operation, "it does not listen");
  if (!own_address(fd)) {
    return fail(ErrorKind::invalid, operation, "it is neither an IPv4 nor an IPv6 socket");
  }
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(operation, errno);
  }
  return Parts::on_descriptor(loop, fd, std::move(accepted));
}

}  // namespace postern::net
