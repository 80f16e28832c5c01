// What the supervisor (systemd) hands to the daemon and wants to hear from it, without its library.
//
// Promise: descriptors are taken only when LISTEN_PID names this process, and only when every one
// of them is a listening TCP socket; they are closed on exec, and the variables are gone
// afterwards, so that no child takes them again. Sharp edge: both functions touch the environment:
// call them while one thread runs.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

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

// sd_notify(3): "READY=1", "STOPPING=1", "RELOADING=1" (MONOTONIC_USEC, which systemd asks for with
// it, is added). Nothing happens where NOTIFY_SOCKET is not set.
[[nodiscard]] Result<> notify_supervisor(std::string_view state);

}  // namespace postern::net
