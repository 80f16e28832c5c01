// The control socket: a Unix stream socket, lines of text both ways.
//
// Promise: made with mode 0600 in its directory; a stale socket file is replaced, a living one is
// an Error
// ("another posternd is running"). Lines are bounded; a client that sends more is dropped.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "relay/base/callback.hpp"
#include "relay/base/error.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

inline constexpr std::size_t local_line_bytes_max = 1
                                                    << 20;  // a request; `user add` fits many times
inline constexpr std::size_t local_answer_bytes_max =
    16 << 20;  // the queue's list, thousands of lines
inline constexpr std::size_t local_clients_max = 16;

class LocalServer {
 public:
  // Each line is answered by calling `answer` once, now or later; the answer's line feed is added.
  // Answering after the client or the server has gone does nothing; an Answer dropped unused closes
  // its client. On the loop's thread.
  using Answer = Callback<std::string>;
  [[nodiscard]] static Result<std::unique_ptr<LocalServer>> listen(
      Loop& loop, const std::string& path, Callback<std::string_view, Answer> on_line);
  ~LocalServer();

 private:
  LocalServer();
  struct Parts;
  Parts* parts_;
};

// The operator's side, blocking: connect, send a line, wait for a line (at most `timeout`).
[[nodiscard]] Result<std::string> ask_local_server(const std::string& path, std::string_view line,
                                                   Duration timeout);

}  // namespace postern::net
