// A Connection's life, its reading half and its call-outs.
#include "relay/net/connection.hpp"

#include <unistd.h>

#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/secret.hpp"
#include "relay/net/connection_parts.hpp"
#include "relay/net/os_address.hpp"

namespace postern::net {

Connection::Connection() : parts_(nullptr) {}

Connection::~Connection() { parts_->release_by_owner(); }

std::unique_ptr<Connection> Connection::Parts::make(Loop& loop) {
  std::unique_ptr<Connection> connection(new Connection());
  auto* parts = new Parts(loop.parts());
  connection->parts_ = parts;
  POSTERN_ASSERT(uv_tcp_init(&parts->loop.loop, &parts->tcp) == 0);
  POSTERN_ASSERT(uv_timer_init(&parts->loop.loop, &parts->timer) == 0);
  parts->handles_open = 2;
  parts->tcp.data = parts;
  parts->timer.data = parts;
  parts->write_request.data = parts;
  parts->shutdown_request.data = parts;
  parts->connect_request.data = parts;
  return connection;
}

Result<std::unique_ptr<Connection>> Connection::Parts::from_descriptor(Loop& loop, int descriptor) {
  std::unique_ptr<Connection> connection = make(loop);
  if (const int status = uv_tcp_open(&connection->parts_->tcp, descriptor); status < 0) {
    ::close(descriptor);
    return fail_uv("take an accepted connection", status);
  }
  if (Result<> learned = connection->parts_->learn_addresses(); !learned) {
    return std::unexpected(std::move(learned.error()));
  }
  return connection;
}

Result<> Connection::Parts::learn_addresses() {
  uv_os_fd_t descriptor = -1;
  uv_fileno(reinterpret_cast<uv_handle_t*>(&tcp), &descriptor);
  const auto own = own_address(descriptor);
  const auto other = peer_address(descriptor);
  // A peer that has already reset the connection has no address any more.
  if (!own || !other) return fail_uv("take a connection", UV_ENOTCONN);
  local = *own;
  peer = *other;
  // SMTP is a dialogue of short lines: Nagle's wait would add a delayed acknowledgement to each
  // turn.
  uv_tcp_nodelay(&tcp, 1);
  return {};
}

int Connection::Parts::connect(const SocketAddress& address, Callback<int> when_connected) {
  peer = address;
  connected = std::move(when_connected);
  const OsAddress os_address = to_os_address(address);
  return uv_tcp_connect(&connect_request, &tcp, os_address.get(),
                        [](uv_connect_t* request, int status) {
                          auto* parts = static_cast<Parts*>(request->data);
                          if (parts->life != Life::open) return;  // given up meanwhile
                          Callback<int> told = std::move(parts->connected);
                          told(status);
                        });
}

std::string Connection::Parts::with_peer(const char* what) const {
  return std::string(what) + " " + peer.text();
}

void Connection::set_events(Events events) {
  parts_->events = std::move(events);
  ++parts_->events_generation;
}

void Connection::start() {
  parts_->started = true;
  parts_->read_on();
}

void Connection::pause() {
  parts_->paused = true;
  if (parts_->life == Parts::Life::open) parts_->stop_reading();
}

void Connection::resume() {
  parts_->paused = false;
  parts_->read_on();
  if (!parts_->kept.empty() || parts_->ending) parts_->pump_soon();
}

std::size_t Connection::pending_bytes() const { return parts_->pending_bytes(); }
const std::optional<crypto::TlsFacts>& Connection::tls_facts() const { return parts_->facts; }
const SocketAddress& Connection::peer() const { return parts_->peer; }
const SocketAddress& Connection::local() const { return parts_->local; }

void Connection::Parts::read_on() {
  if (reading || !started || paused || answers_unread || peer_ended || ending) return;
  if (life != Life::open) return;
  if (const int status = uv_read_start(stream(), on_alloc, on_read); status < 0) {
    fail_soon({uv_kind(status), with_peer("read from"), uv_words(status)});
    return;
  }
  reading = true;
}

void Connection::Parts::stop_reading() {
  if (!reading) return;
  uv_read_stop(stream());
  reading = false;
}

void Connection::Parts::on_alloc(uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
  auto* parts = static_cast<Parts*>(handle->data);
  *buffer = uv_buf_init(reinterpret_cast<char*>(parts->loop.read_buffer.get()), read_bytes_max);
}

void Connection::Parts::on_read(uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer) {
  auto* parts = static_cast<Parts*>(stream->data);
  if (length == 0) return;
  if (parts->life != Life::open) return parts->discard(length);
  if (length > 0) {
    parts->received(as_bytes({buffer->base, static_cast<std::size_t>(length)}));
  } else if (length != UV_EOF) {
    const int status = static_cast<int>(length);
    parts->end(Error{uv_kind(status), parts->with_peer("read from"), uv_words(status)});
  } else {
    parts->peer_ended = true;
    if (parts->engine && !parts->facts) {
      parts->end(Error{ErrorKind::io, parts->with_peer("TLS handshake with"),
                       "the other side closed the connection before the handshake was done"});
    } else {
      parts->end(std::nullopt);
    }
  }
  parts->pump();
}

void Connection::Parts::received(ByteView octets) {
  if (engine) return received_tls(octets);
  // Straight out of the loop's read buffer: plain octets are never copied here.
  call(&Events::on_data, octets);
}

// The one place that calls out (but for plain octets, which go straight from the read).
void Connection::Parts::pump() {
  if (in_call_out) return;  // the pump further up goes on when the call-out returns
  bool drained_told = false;
  while (life == Life::open) {
    if (!tls_told) {
      tls_told = true;
      call(&Events::on_tls, *facts);
    } else if (!kept.empty() && !paused && !ending_at_once) {
      Bytes plaintext = std::exchange(kept, {});
      call(&Events::on_data, ByteView(plaintext));
      wipe(plaintext);  // it may hold a password
    } else if (ending && (ending_at_once || kept.empty())) {
      const bool with_reply = pending_bytes() > 0 || (engine && *ending);  // an alert on its way
      std::optional<Error> why = std::move(*ending);
      Callback<std::optional<Error>> closed = std::exchange(events.on_closed, nullptr);
      if (with_reply && !ending_at_once) {
        linger();
      } else {
        close_handles();
      }
      if (closed) closed(std::move(why));
    } else if (drain_due && pending_bytes() == 0) {
      // Once a turn: a callback that writes more must not keep the loop to itself.
      if (drained_told) return pump_soon();
      drained_told = true;
      drain_due = false;
      call(&Events::on_drained);
    } else {
      return;
    }
  }
}

void Connection::Parts::pump_soon() {
  if (life == Life::open) uv_timer_start(&timer, on_timer, 0, 0);
}

void Connection::Parts::on_timer(uv_timer_t* timer) {
  auto* parts = static_cast<Parts*>(timer->data);
  if (parts->life == Life::open) {
    parts->pump();
  } else {
    parts->close_handles();
  }
}

void Connection::Parts::end(std::optional<Error> why) {
  stop_reading();
  if (!ending) ending = std::move(why);
}

void Connection::Parts::fail_soon(Error why) {
  if (life != Life::open) return close_handles();
  end(std::move(why));
  ending_at_once = true;  // nothing can be answered any more, so nothing is worth waiting for
  pump_soon();
}

}  // namespace postern::net
