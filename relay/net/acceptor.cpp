// Accepting connections with uv_poll_t and accept4.
//
// Not uv_listen: libuv has no way to stop accepting for a while, and answers EMFILE by accepting
// and dropping every waiting connection. Here they wait in the kernel's backlog until descriptors
// are free again.
#include "relay/net/acceptor.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "relay/net/loop_parts.hpp"

namespace postern::net {

namespace {

// accept(2): errors of the one connection that was waiting; the next may be sound.
bool concerns_one_connection(int error_number) {
  switch (error_number) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<AcceptorHandle> Acceptor::start(Loop& loop, int descriptor, Callback<int> accepted) {
  auto* acceptor = new Acceptor();
  acceptor->descriptor_ = descriptor;
  acceptor->accepted_ = std::move(accepted);
  uv_loop_t* uv = &loop.parts().loop;
  if (const int status = uv_poll_init(uv, &acceptor->poll_, descriptor); status < 0) {
    delete acceptor;
    return fail_uv("watch a listening socket", status);
  }
  uv_timer_init(uv, &acceptor->timer_);
  acceptor->poll_.data = acceptor;
  acceptor->timer_.data = acceptor;
  acceptor->handles_open_ = 2;
  AcceptorHandle handle(acceptor);
  if (const int status = acceptor->begin(); status < 0) {
    acceptor->descriptor_ = -1;  // stays the caller's
    return fail_uv("watch a listening socket", status);
  }
  return handle;
}

int Acceptor::begin() {
  return uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
    static_cast<Acceptor*>(poll->data)->accept_waiting();
  });
}

void Acceptor::accept_waiting() {
  for (int i = 0; i < accepts_per_turn_max && !stopped_; ++i) {
    const int accepted = accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      accepted_(accepted);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (concerns_one_connection(errno)) continue;
    uv_poll_stop(&poll_);
    uv_timer_start(
        &timer_,
        [](uv_timer_t* timer) { static_cast<void>(static_cast<Acceptor*>(timer->data)->begin()); },
        static_cast<std::uint64_t>(accept_pause.count()), 0);
    return;
  }
}

void Acceptor::stop() {
  stopped_ = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), on_handle_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), on_handle_closed);
  if (descriptor_ >= 0) ::close(descriptor_);  // uv_close has taken it out of epoll already
}

void Acceptor::on_handle_closed(uv_handle_t* handle) {
  auto* acceptor = static_cast<Acceptor*>(handle->data);
  if (--acceptor->handles_open_ == 0) delete acceptor;
}

}  // namespace postern::net
