// Private to relay/net: what a Loop is made of, and how libuv's status numbers become Errors.
//
// Sharp edge: everything here but `posts`, `stop_requested`, `stopped` and uv_async_send(&wake)
// belongs to the loop's own thread.
#pragma once

#include <uv.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "relay/base/mailbox.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

// Something that outlives its owner for a moment (a closing connection that still flushes its last
// reply). The loop ends it when the loop itself goes.
class Lingering {
 public:
  virtual ~Lingering() = default;
  virtual void end_now() = 0;
};

struct Loop::Parts {
  uv_loop_t loop{};
  uv_async_t wake{};
  bool initialised = false;
  bool closing = false;  // no `done` of the pool runs any more
  Mailbox<Callback<>> posts{loop_posts_max};
  std::atomic<bool> stop_requested{false};
  std::atomic<bool> stopped{false};
  std::unique_ptr<std::byte[]> read_buffer;  // read_bytes_max, lent to one read at a time
  std::set<Lingering*> lingering;
};

// "connection refused"
[[nodiscard]] std::string uv_words(int status);
// The kind that goes with a negative libuv status.
[[nodiscard]] ErrorKind uv_kind(int status);
[[nodiscard]] std::unexpected<Error> fail_uv(std::string operation, int status);

}  // namespace postern::net
