// The control socket's asking side: blocking, for the operator's command, with one time limit over
// all.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "relay/net/local_address.hpp"
#include "relay/net/local_socket.hpp"

namespace postern::net {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

class Deadline {
 public:
  explicit Deadline(Duration timeout) : end_(std::chrono::steady_clock::now() + timeout) {}
  // Waits for `events`; false when the time is over.
  [[nodiscard]] bool wait(int descriptor, short events) const {
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end_ - std::chrono::steady_clock::now());
      if (left.count() <= 0) return false;
      pollfd one{descriptor, events, 0};
      const int ready =
          poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }
  // A short sleep; false when the time is over.
  [[nodiscard]] bool pause() const {
    poll(nullptr, 0, 20);
    return std::chrono::steady_clock::now() < end_;
  }

 private:
  std::chrono::steady_clock::time_point end_;
};

std::unexpected<Error> fail_timeout(const std::string& operation) {
  return fail(ErrorKind::timeout, operation, "posternd did not answer in time; see its log");
}

Result<> connect_to(int descriptor, const LocalAddress& address, const std::string& operation,
                    const Deadline& deadline) {
  while (::connect(descriptor, address.get(), address.length) != 0) {
    switch (errno) {
      case EINTR:
        break;
      case EAGAIN:  // its backlog is full for the moment; there is nothing to poll for
        if (!deadline.pause()) return fail_timeout(operation);
        break;
      case ENOENT:
        return fail(ErrorKind::not_found, operation,
                    "there is no such socket: posternd is not running, or it was started with "
                    "another control_socket");
      case ECONNREFUSED:  // a file left behind by a process that was killed
        return fail(ErrorKind::not_found, operation,
                    "posternd is not running: it has ended and left its socket behind");
      case EACCES:
      case EPERM:
        return fail(ErrorKind::denied, operation,
                    "permission denied: run this command as root or as the user posternd runs as");
      default:
        return fail_errno(operation, errno);
    }
  }
  return {};
}

Result<> send_all(int descriptor, std::string_view octets, const std::string& operation,
                  const Deadline& deadline) {
  while (!octets.empty()) {
    const ssize_t sent = ::send(descriptor, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      octets.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!deadline.wait(descriptor, POLLOUT)) return fail_timeout(operation);
    } else if (errno != EINTR) {
      return fail_errno(operation, errno);
    }
  }
  return {};
}

Result<std::string> receive_line(int descriptor, const std::string& operation,
                                 const Deadline& deadline) {
  std::string answer;
  char buffer[16'384];
  for (;;) {
    const ssize_t received = ::recv(descriptor, buffer, sizeof buffer, 0);
    if (received == 0) {
      return fail(ErrorKind::busy, operation,
                  "posternd closed the connection without an answer; it may be serving too many "
                  "commands at once, or stopping");
    }
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return fail_errno(operation, errno);
      if (!deadline.wait(descriptor, POLLIN)) return fail_timeout(operation);
      continue;
    }
    const std::string_view part(buffer, static_cast<std::size_t>(received));
    const std::size_t end = part.find('\n');
    answer.append(part.substr(0, end));
    if (end != std::string_view::npos) return answer;
    if (answer.size() > local_answer_bytes_max) {
      return fail(ErrorKind::no_space, operation, "the answer is longer than this command accepts");
    }
  }
}

}  // namespace

Result<std::string> ask_local_server(const std::string& path, std::string_view line,
                                     Duration timeout) {
  const std::string operation = "ask posternd at " + path;
  if (line.size() > local_line_bytes_max || line.find('\n') != std::string_view::npos) {
    return fail(
        ErrorKind::invalid, operation,
        "a request is one line of at most " + std::to_string(local_line_bytes_max) + " octets");
  }
  const auto address = LocalAddress::of(path);
  if (!address) return std::unexpected(address.error());
  const Deadline deadline(timeout);
  const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return fail_errno(operation, errno);
  if (Result<> result = connect_to(socket.get(), *address, operation, deadline); !result) {
    return std::unexpected(std::move(result.error()));
  }
  const std::string request = std::string(line) + '\n';
  if (Result<> result = send_all(socket.get(), request, operation, deadline); !result) {
    return std::unexpected(std::move(result.error()));
  }
  return receive_line(socket.get(), operation, deadline);
}

}  // namespace postern::net
