// One TCP connection that may become TLS: octets in, octets out, back-pressure both ways.
//
// Promise: data is handed over as plain text whether or not TLS is on; nothing is delivered, and no
// callback runs, after close() or destruction. A write is queued; pending_bytes() tells how much
// has not left, and on_drained runs when it falls to zero. start_tls_*() throws away anything
// received and not yet handed over (RFC 3207 §4.2); octets that a *client* side finds buffered at
// that moment close the connection with an Error. A peer that sends faster than we read is held by
// TCP (pause()/resume()). close_after_writing() flushes also after its Connection is destroyed, and
// then reads and throws away input for a moment: closing with unread input would send RST and
// destroy the last reply; a loop does so for lingering_max connections at most. Sharp edge:
// callbacks may destroy the Connection they came from. pause() also holds a TLS handshake. Octets
// that came in the same on_data as STARTTLS or its answer are handed over already: the session must
// judge them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/tls.hpp"
#include "relay/base/bytes.hpp"
#include "relay/base/callback.hpp"
#include "relay/base/error.hpp"
#include "relay/base/socket_address.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

inline constexpr std::size_t read_bytes_max =
    65'536;  // one read; the buffer is shared by a loop's connections

// Connections of one loop that flush and wait after their owner has gone. No limit on sessions
// counts them, so a client that is refused again and again would hold every descriptor of the
// process; one more than this is closed at once, and loses at worst its last reply.
inline constexpr std::size_t lingering_max = 64;

class Connection {
 public:
  struct Events {
    Callback<ByteView> on_data;                // plain text, in order
    Callback<const crypto::TlsFacts&> on_tls;  // handshake done
    Callback<std::optional<Error>> on_closed;  // once; nothing: the peer ended it politely
    Callback<> on_drained;  // everything written has left; from the loop, also when it left at once
  };
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void set_events(Events events);
  void start();  // begins to read
  void pause();
  void resume();
  void write(ByteView octets);
  [[nodiscard]] std::size_t pending_bytes() const;
  void start_tls_server(std::shared_ptr<const crypto::TlsServerContext> context);
  void start_tls_client(std::shared_ptr<const crypto::TlsClientContext> context, std::string host);
  [[nodiscard]] const std::optional<crypto::TlsFacts>& tls_facts() const;
  void
  close_after_writing();  // flushes (bounded by 10 s), close_notify, closes; on_closed does not run
  void close();           // now; on_closed does not run
  [[nodiscard]] const SocketAddress& peer() const;
  [[nodiscard]] const SocketAddress& local() const;

 private:
  friend class TcpListener;
  friend class Connector;
  Connection();
  struct Parts;
  Parts* parts_;  // outlives the object until libuv's close callback
};

class TcpListener {
 public:
  // Binds and listens; errors name the address ("port in use by another program", "permission
  // denied: …").
  [[nodiscard]] static Result<std::unique_ptr<TcpListener>> listen(
      Loop& loop, const SocketAddress& address, bool share_port,
      Callback<std::unique_ptr<Connection>> accepted);
  // Whether nobody listens there. Loops that share a port would share it with another daemon too,
  // which then got a part of the clients without a word: ask this before the first of them listens.
  [[nodiscard]] static Result<> check_free(const SocketAddress& address);
  // A listening socket handed over by systemd (LISTEN_FDS). On success the descriptor is the
  // listener's; on an Error it stays the caller's. Several loops may each adopt a dup() of one.
  [[nodiscard]] static Result<std::unique_ptr<TcpListener>> adopt(
      Loop& loop, int fd, Callback<std::unique_ptr<Connection>> accepted);
  ~TcpListener();
  [[nodiscard]] const SocketAddress& address() const;  // the real port when 0 was asked for

 private:
  TcpListener();
  struct Parts;
  Parts* parts_;
};

// Connects to the first of several addresses that answers (RFC 5321 §5.1: the next one when one
// fails).
class Connector {
 public:
  // Each address gets `timeout`. The Error names every address that was tried. Destroying the
  // Connector cancels without an answer.
  Connector(Loop& loop, std::vector<SocketAddress> addresses, Duration timeout,
            Callback<Result<std::unique_ptr<Connection>>> done);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::net
