// A Connection's TLS half: feeds the engine, keeps what it decrypted until it may be handed over.
#include <sys/socket.h>

#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/secret.hpp"
#include "relay/net/connection_parts.hpp"

namespace postern::net {

void Connection::start_tls_server(std::shared_ptr<const crypto::TlsServerContext> context) {
  if (parts_->life != Parts::Life::open) return;
  parts_->start_tls(crypto::TlsEngine::server(std::move(context)));
}

void Connection::start_tls_client(std::shared_ptr<const crypto::TlsClientContext> context,
                                  std::string host) {
  Parts& parts = *parts_;
  if (parts.life != Parts::Life::open) return;
  if (parts.peer_spoke_too_early()) {
    // Our ClientHello has not left, so these octets were sent in clear: by the server out of turn,
    // or by somebody between us. Read as TLS they would be rubbish; read as SMTP they would be a
    // command injection.
    return parts.fail_soon({ErrorKind::denied, parts.with_peer("start TLS with"),
                            "octets in clear came before the TLS handshake (RFC 3207 §4.2)"});
  }
  parts.start_tls(crypto::TlsEngine::client(std::move(context), std::move(host)));
  if (parts.engine) parts.take_engine_results(parts.engine->advance());
}

bool Connection::Parts::peer_spoke_too_early() const {
  if (!kept.empty()) return true;
  uv_os_fd_t descriptor = -1;
  if (uv_fileno(reinterpret_cast<const uv_handle_t*>(&tcp), &descriptor) < 0) return false;
  char octet = 0;
  return recv(descriptor, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void Connection::Parts::start_tls(Result<std::unique_ptr<crypto::TlsEngine>> made) {
  POSTERN_ASSERT(!engine);
  kept.clear();
  if (!made) return fail_soon(std::move(made.error()));
  engine = std::move(*made);
  started = true;
  read_on();
}

void Connection::Parts::received_tls(ByteView octets) {
  take_engine_results(engine->receive(octets));
}

void Connection::Parts::take_engine_results(crypto::TlsEngine::Status status) {
  using Status = crypto::TlsEngine::Status;
  const Bytes answers = engine->take_output();
  queue(answers);
  // Only TLS's own octets hold the reading back: two sides that each wait with much data of their
  // own until the other has read would wait for ever.
  if (!answers.empty() && pending.size() + in_flight.size() > unread_answers_bytes_max) {
    answers_unread = true;
    stop_reading();
  }
  if (status == Status::ready && !facts) {
    facts = engine->facts();
    tls_told = false;
    Bytes waiting = std::exchange(before_tls, {});
    if (!waiting.empty()) write_tls(waiting);
    wipe(waiting);
  }
  Bytes plaintext = engine->take_plaintext();
  if (kept.empty()) {
    kept = std::move(plaintext);
  } else {
    append_wiping(kept, plaintext);
    wipe(plaintext);
  }
  if (status == Status::failed) {
    const Error& error = engine->error();
    end(Error{error.kind, with_peer("TLS with"), error.text()});
  } else if (status == Status::closed) {
    end(std::nullopt);
  }
  if (ending || !tls_told || !kept.empty()) pump_soon();
}

void Connection::Parts::write_tls(ByteView octets) {
  if (Result<> sent = engine->send(octets); !sent) return fail_soon(std::move(sent.error()));
  queue(engine->take_output());
}

}  // namespace postern::net
