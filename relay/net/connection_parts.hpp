// Private to relay/net: a Connection's state, shared by its plain, TLS and closing halves.
//
// Promise: call-outs happen only from the loop (never inside a method the owner called), never
// nested, and none after close(), destruction or on_closed. The Parts are freed when the owner is
// gone and both libuv handles are closed, so a call-out may destroy the Connection.
#pragma once

#include <uv.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "relay/net/connection.hpp"
#include "relay/net/loop_parts.hpp"

namespace postern::net {

// How long the last reply may take to leave (a peer that stops reading must not hold a descriptor).
inline constexpr std::chrono::milliseconds flush_time_max{10'000};
// After our FIN: closing with unread input would send RST and destroy the reply on its way, so what
// still comes is read and thrown away for a while (RFC 9293 §3.6).
inline constexpr std::chrono::milliseconds linger_time_max{2'000};
inline constexpr std::size_t linger_discard_bytes_max =
    16U << 20;  // a device that keeps pushing a scan

// TLS answers some of what it reads. A peer that asks on and on and reads none of the answers is
// itself not read any more while this much waits to leave: our memory is not its buffer.
inline constexpr std::size_t unread_answers_bytes_max = 65'536;

struct Connection::Parts final : Lingering {
  enum class Life {
    open,
    lingering,  // flushes, then FIN, then throws input away; no call-outs
    closing,    // handles are being closed
  };

  explicit Parts(Loop::Parts& on) : loop(on) {}

  // A Connection on a fresh uv_tcp_t without a socket (the Connector's), or on an accepted
  // descriptor.
  [[nodiscard]] static std::unique_ptr<Connection> make(Loop& loop);
  [[nodiscard]] static Result<std::unique_ptr<Connection>> from_descriptor(Loop& loop,
                                                                           int descriptor);
  [[nodiscard]] Result<> learn_addresses();  // and sets TCP_NODELAY
  [[nodiscard]] int connect(const SocketAddress& address, Callback<int> when_connected);

  // Reading and call-outs (connection.cpp).
  void read_on();
  void stop_reading();
  void received(ByteView octets);
  void pump();
  void pump_soon();
  void end(std::optional<Error> why);
  void fail_soon(Error why);
  template <class Event, class... Arguments>
  void call(Event Events::* event, Arguments&&... arguments);

  // Writing and closing (connection_write.cpp).
  void queue(ByteView octets);
  void start_write();
  void written(int status);
  [[nodiscard]] std::size_t pending_bytes() const;
  void linger();
  void send_fin();
  void discard(ssize_t length);
  void close_handles();
  void end_now() override { close_handles(); }
  void release_by_owner();

  // TLS (connection_tls.cpp).
  void start_tls(Result<std::unique_ptr<crypto::TlsEngine>> made);
  void received_tls(ByteView octets);
  void take_engine_results(crypto::TlsEngine::Status status);
  void write_tls(ByteView octets);
  [[nodiscard]] bool peer_spoke_too_early() const;

  static void on_alloc(uv_handle_t* handle, std::size_t suggested, uv_buf_t* buffer);
  static void on_read(uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer);
  static void on_timer(uv_timer_t* timer);
  static void on_handle_closed(uv_handle_t* handle);
  [[nodiscard]] uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp); }
  [[nodiscard]] std::string with_peer(const char* what) const;

  Loop::Parts& loop;
  uv_tcp_t tcp{};
  uv_timer_t timer{};  // open: pump soon; lingering: the limit
  uv_write_t write_request{};
  uv_shutdown_t shutdown_request{};
  uv_connect_t connect_request{};
  int handles_open = 0;
  bool owned = true;
  Life life = Life::open;
  SocketAddress peer;
  SocketAddress local;

  Events events;
  std::uint64_t events_generation = 0;  // set_events inside a call-out
  Callback<int> connected;
  bool in_call_out = false;
  bool started = false;
  bool paused = false;
  bool reading = false;
  bool peer_ended = false;  // its FIN was read

  // Why the connection ends; told when `kept` is empty, or at once.
  std::optional<std::optional<Error>> ending;
  bool ending_at_once = false;

  Bytes pending;    // not yet given to libuv
  Bytes in_flight;  // libuv writes from here
  bool writing = false;
  bool drain_due = false;
  bool answers_unread = false;  // reading waits until they have left
  std::size_t discarded_bytes = 0;

  std::unique_ptr<crypto::TlsEngine> engine;
  std::optional<crypto::TlsFacts> facts;
  bool tls_told = true;  // false between the handshake's end and on_tls
  Bytes kept;            // decrypted, not yet handed over
  Bytes before_tls;      // written by the owner before the handshake was done
};

template <class Event, class... Arguments>
void Connection::Parts::call(Event Events::* event, Arguments&&... arguments) {
  // Taken out while it runs: set_events inside it must not destroy it under its own feet.
  Event callback = std::move(events.*event);
  events.*event = nullptr;
  if (!callback) return;
  const std::uint64_t generation = events_generation;
  in_call_out = true;
  callback(std::forward<Arguments>(arguments)...);
  in_call_out = false;
  if (generation == events_generation) events.*event = std::move(callback);
}

}  // namespace postern::net
