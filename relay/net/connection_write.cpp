// A Connection's writing half, and its three ways to end: at once, after the last reply, after an
// error.
#include <algorithm>
#include <utility>

#include "relay/base/secret.hpp"
#include "relay/net/connection_parts.hpp"

namespace postern::net {

void Connection::write(ByteView octets) {
  Parts& parts = *parts_;
  if (parts.life != Parts::Life::open || octets.empty()) return;
  parts.drain_due = true;
  if (!parts.engine) {
    parts.queue(octets);
  } else if (!parts.facts) {
    append(parts.before_tls, octets);
  } else {
    parts.write_tls(octets);
  }
  // Told from the loop even when everything left at once, so that "write, then wait" never hangs.
  if (parts.pending_bytes() == 0) parts.pump_soon();
}

std::size_t Connection::Parts::pending_bytes() const {
  return pending.size() + in_flight.size() + before_tls.size();
}

void Connection::Parts::queue(ByteView octets) {
  if (life == Life::closing || octets.empty()) return;
  if (!writing && pending.empty()) {
    const auto length = static_cast<unsigned>(std::min<std::size_t>(octets.size(), 1U << 30));
    // libuv takes char*, but only reads from it.
    auto* start = const_cast<char*>(reinterpret_cast<const char*>(octets.data()));
    const uv_buf_t buffer = uv_buf_init(start, length);
    const int written_bytes = uv_try_write(stream(), &buffer, 1);
    if (written_bytes < 0 && written_bytes != UV_EAGAIN) {
      return fail_soon({uv_kind(written_bytes), with_peer("write to"), uv_words(written_bytes)});
    }
    octets = octets.subspan(static_cast<std::size_t>(std::max(written_bytes, 0)));
    if (octets.empty()) return;
  }
  append(pending, octets);
  if (!writing) start_write();
}

void Connection::Parts::start_write() {
  in_flight = std::exchange(pending, {});
  const uv_buf_t buffer = uv_buf_init(reinterpret_cast<char*>(in_flight.data()),
                                      static_cast<unsigned>(in_flight.size()));
  writing = true;
  const int status = uv_write(
      &write_request, stream(), &buffer, 1,
      [](uv_write_t* request, int result) { static_cast<Parts*>(request->data)->written(result); });
  if (status < 0) {
    writing = false;
    fail_soon({uv_kind(status), with_peer("write to"), uv_words(status)});
  }
}

void Connection::Parts::written(int status) {
  writing = false;
  in_flight.clear();
  if (life == Life::closing) return;
  if (status < 0) {
    return fail_soon({uv_kind(status), with_peer("write to"), uv_words(status)});
  }
  if (answers_unread && pending.size() <= unread_answers_bytes_max) {
    answers_unread = false;
    read_on();
  }
  if (!pending.empty()) {
    start_write();
  } else if (life == Life::lingering) {
    send_fin();
  } else {
    pump();
  }
}

void Connection::close_after_writing() {
  if (parts_->life == Parts::Life::open) parts_->linger();
}

void Connection::close() { parts_->close_handles(); }

void Connection::Parts::linger() {
  if (loop.lingering.size() >= lingering_max) return close_handles();
  life = Life::lingering;
  loop.lingering.insert(this);
  wipe(kept);
  kept.clear();
  before_tls.clear();
  uv_timer_start(&timer, on_timer, static_cast<std::uint64_t>(flush_time_max.count()), 0);
  if (engine && engine->status() == crypto::TlsEngine::Status::ready) {
    engine->send_close_notify();
    queue(engine->take_output());
  }
  if (life != Life::lingering) return;  // the write failed
  // Input is read and thrown away from now on, also to learn of the other side's FIN.
  if (!reading && !peer_ended) {
    reading = uv_read_start(stream(), on_alloc, on_read) == 0;
  }
  if (!writing) send_fin();
}

void Connection::Parts::send_fin() {
  if (peer_ended) return close_handles();  // both sides are done: nothing can be reset any more
  const int status =
      uv_shutdown(&shutdown_request, stream(), [](uv_shutdown_t* request, int result) {
        auto* parts = static_cast<Parts*>(request->data);
        if (parts->life == Life::closing) return;
        if (result < 0) return parts->close_handles();
        uv_timer_start(&parts->timer, on_timer, static_cast<std::uint64_t>(linger_time_max.count()),
                       0);
      });
  if (status < 0) close_handles();
}

void Connection::Parts::discard(ssize_t length) {
  if (length > 0) {
    discarded_bytes += static_cast<std::size_t>(length);
    if (discarded_bytes <= linger_discard_bytes_max) return;
  } else {
    peer_ended = true;
    stop_reading();
    if (length == UV_EOF && (writing || !pending.empty()))
      return;  // it may still read our last reply
  }
  close_handles();
}

void Connection::Parts::close_handles() {
  if (life == Life::closing) return;
  life = Life::closing;
  loop.lingering.erase(this);
  wipe(kept);
  wipe(before_tls);
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp), on_handle_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), on_handle_closed);
}

void Connection::Parts::on_handle_closed(uv_handle_t* handle) {
  auto* parts = static_cast<Parts*>(handle->data);
  if (--parts->handles_open == 0 && !parts->owned) delete parts;
}

void Connection::Parts::release_by_owner() {
  owned = false;
  if (life == Life::open) close_handles();
  if (handles_open == 0) delete this;
}

}  // namespace postern::net
