// The event loop itself: posting into it, running it, and work on libuv's pool.
#include "relay/net/loop.hpp"

#include <csignal>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/loop_parts.hpp"

namespace postern::net {

std::string uv_words(int status) { return uv_strerror(status); }

ErrorKind uv_kind(int status) {
  switch (status) {
    case UV_ETIMEDOUT:
      return ErrorKind::timeout;
    case UV_EADDRINUSE:
    case UV_EAGAIN:
      return ErrorKind::busy;
    case UV_EACCES:
    case UV_EPERM:
      return ErrorKind::denied;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM:
    case UV_ENOSPC:
      return ErrorKind::no_space;
    case UV_ENOENT:
    case UV_EADDRNOTAVAIL:
      return ErrorKind::not_found;
    case UV_EAFNOSUPPORT:
    case UV_EPROTONOSUPPORT:
      return ErrorKind::unsupported;
    case UV_EINVAL:
      return ErrorKind::invalid;
    default:
      return ErrorKind::io;
  }
}

std::unexpected<Error> fail_uv(std::string operation, int status) {
  return fail(uv_kind(status), std::move(operation), uv_words(status));
}

namespace {

void run_posts(uv_async_t* wake) {
  auto& parts = *static_cast<Loop::Parts*>(wake->data);
  // One batch only: what a task posts comes next time round, so that sockets get their turn.
  for (Callback<>& task : parts.posts.take_all()) task();
  if (parts.stop_requested) uv_stop(&parts.loop);
}

struct PoolWork {
  uv_work_t request{};
  Loop::Parts* loop = nullptr;
  Callback<> work;
  Callback<> done;
};

// Left over at the loop's end: a handle whose owner is still alive would be used after it is freed.
void assert_closing(uv_handle_t* handle, void* /*unused*/) {
  POSTERN_ASSERT(uv_is_closing(handle) != 0);
}

}  // namespace

Loop::Loop() : parts_(std::make_unique<Parts>()) {}

Result<std::unique_ptr<Loop>> Loop::create() {
  // A peer that goes away while we write must be an error of that write, not the end of the
  // process.
  std::signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<Loop> loop(new Loop());
  Parts& parts = *loop->parts_;
  if (const int status = uv_loop_init(&parts.loop); status < 0) {
    return fail_uv("make an event loop", status);
  }
  if (const int status = uv_async_init(&parts.loop, &parts.wake, run_posts); status < 0) {
    uv_loop_close(&parts.loop);
    return fail_uv("make an event loop", status);
  }
  parts.wake.data = &parts;
  parts.initialised = true;
  parts.read_buffer = std::make_unique<std::byte[]>(read_bytes_max);
  return loop;
}

Loop::~Loop() {
  Parts& parts = *parts_;
  if (!parts.initialised) return;
  parts.closing = true;
  parts.posts.close();
  parts.posts.take_all().clear();  // tasks may own connections, which must close on a living loop
  while (!parts.lingering.empty()) {
    Lingering* one = *parts.lingering.begin();
    parts.lingering.erase(parts.lingering.begin());
    one->end_now();
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&parts.wake), nullptr);
  uv_walk(&parts.loop, assert_closing, nullptr);
  uv_run(&parts.loop, UV_RUN_DEFAULT);  // runs the close callbacks and waits for the pool
  POSTERN_ASSERT(uv_loop_close(&parts.loop) == 0);
}

void Loop::run() {
  parts_->stopped = false;
  while (!parts_->stop_requested) uv_run(&parts_->loop, UV_RUN_DEFAULT);
  parts_->stopped = true;
  parts_->stop_requested = false;
}

void Loop::stop() {
  parts_->stop_requested = true;
  uv_async_send(&parts_->wake);
}

bool Loop::post(Callback<> task) {
  if (parts_->stop_requested || parts_->stopped) return false;
  if (!parts_->posts.push(std::move(task))) return false;
  uv_async_send(&parts_->wake);
  return true;
}

void Loop::run_on_pool(Callback<> work, Callback<> done) {
  auto* item = new PoolWork{{}, parts_.get(), std::move(work), std::move(done)};
  item->request.data = item;
  const int status = uv_queue_work(
      &parts_->loop, &item->request,
      [](uv_work_t* request) { static_cast<PoolWork*>(request->data)->work(); },
      [](uv_work_t* request, int /*never cancelled*/) {
        const std::unique_ptr<PoolWork> finished(static_cast<PoolWork*>(request->data));
        if (!finished->loop->closing) finished->done();
      });
  POSTERN_ASSERT(status == 0);
}

}  // namespace postern::net
