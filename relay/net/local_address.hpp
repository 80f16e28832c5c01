// Private to relay/net: a Unix socket's path as the operating system wants it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "relay/base/error.hpp"

namespace postern::net {

struct LocalAddress {
  sockaddr_un storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  // The kernel cuts a path that does not fit sun_path; a cut path is another file, so it is an
  // Error. A leading '@' stands for Linux's abstract names (systemd writes NOTIFY_SOCKET so).
  [[nodiscard]] static Result<LocalAddress> of(const std::string& path) {
    LocalAddress address;
    constexpr std::size_t path_bytes_max = sizeof address.storage.sun_path - 1;
    if (path.empty() || path.size() > path_bytes_max || path.find('\0') != std::string::npos) {
      return fail(ErrorKind::invalid, "use the socket path " + path,
                  "a socket's path has 1 to " + std::to_string(path_bytes_max) +
                      " octets; choose a shorter directory");
    }
    address.storage.sun_family = AF_UNIX;
    std::memcpy(address.storage.sun_path, path.data(), path.size());
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    if (path.front() == '@') {
      address.storage.sun_path[0] = '\0';
      --address.length;  // an abstract name is not ended by a NUL
    }
    return address;
  }
};

}  // namespace postern::net
