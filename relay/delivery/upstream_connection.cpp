// The client side's driver: octets between the DeliverySession and a verified TLS connection.
#include "relay/delivery/upstream_connection.hpp"

#include <span>
#include <utility>
#include <variant>

namespace postern::delivery {
namespace {

smtp::DeliverySettings session_settings(const UpstreamSettings& upstream, std::string hostname) {
  smtp::DeliverySettings settings;
  settings.hostname = std::move(hostname);
  settings.tls = upstream.tls;
  settings.user_name = upstream.user_name;
  settings.password = upstream.password.clone();
  return settings;
}

}  // namespace

UpstreamConnection::UpstreamConnection(net::Loop& loop, net::Resolver& resolver, Logger& log,
                                       std::string hostname,
                                       std::shared_ptr<const UpstreamSettings> upstream,
                                       Events events)
    : loop_(loop),
      resolver_(resolver),
      log_(log),
      upstream_(std::move(upstream)),
      events_(std::move(events)),
      session_(session_settings(*upstream_, std::move(hostname))),
      timer_(loop) {}

UpstreamConnection::~UpstreamConnection() { *alive_ = false; }

void UpstreamConnection::start() {
  resolver_.resolve(upstream_->host, upstream_->port,
                    [this, alive = alive_](Result<std::vector<SocketAddress>> addresses) {
                      if (*alive) resolved(std::move(addresses));
                    });
}

void UpstreamConnection::resolved(Result<std::vector<SocketAddress>> addresses) {
  if (!addresses) {
    end({"4.4.3", addresses.error().text()});
    return;
  }
  connector_ =
      std::make_unique<net::Connector>(loop_, std::move(*addresses), connect_timeout,
                                       [this](Result<std::unique_ptr<net::Connection>> connection) {
                                         connected(std::move(connection));
                                       });
}

void UpstreamConnection::connected(Result<std::unique_ptr<net::Connection>> connection) {
  if (!connection) {
    end({"4.4.1", connection.error().text()});
    return;
  }
  connection_ = std::move(*connection);
  connection_->set_events({
      .on_data =
          [this](ByteView octets) {
            const std::uint64_t before = session_.replies_taken();
            session_.receive(octets);
            pump(session_.replies_taken() != before);
          },
      .on_tls =
          [this](const crypto::TlsFacts& facts) {
            tls_running_ = false;
            log_.event(LogLevel::debug, "upstream-tls")
                .field("upstream", upstream_->name)
                .field("tls", facts.version)
                .field("cipher", facts.cipher);
            upstream_->tls == smtp::DeliveryTls::implicit ? session_.connected()
                                                          : session_.tls_started();
            pump();
          },
      .on_closed = [this](std::optional<Error> error) { connection_closed(std::move(error)); },
      .on_drained = [this] { feed_content(); },
  });
  if (upstream_->tls == smtp::DeliveryTls::implicit) {
    tls_running_ = true;
    connection_->start_tls_client(upstream_->tls_context, upstream_->host);
  } else {
    session_.connected();
  }
  connection_->start();
  pump();
}

void UpstreamConnection::begin(smtp::Envelope envelope, std::uint64_t content_bytes,
                               std::unique_ptr<MessageSource> source) {
  ++transactions_;
  source_ = std::move(source);
  source_error_.reset();
  session_.begin(std::move(envelope), content_bytes);
  pump();
}

void UpstreamConnection::quit() {
  session_.quit();
  pump();
}

// Does what the session asks until it waits for the upstream. Handlers may destroy this object:
// after each one `alive` is asked before anything else. Without progress the upstream's time goes
// on running.
void UpstreamConnection::pump(bool progress) {
  if (pumping_ || ended_) return;
  pumping_ = true;
  const auto alive = alive_;
  while (*alive && !ended_) {
    auto action = session_.next_action();
    if (!action) break;
    perform(std::move(*action));
  }
  if (!*alive) return;
  pumping_ = false;
  if (!ended_ && progress) arm_timer();
}

void UpstreamConnection::perform(smtp::DeliveryAction action) {
  if (auto* send = std::get_if<smtp::SendBytes>(&action)) {
    if (connection_) connection_->write(as_bytes(send->octets));
    if (send->confidential) wipe(std::as_writable_bytes(std::span(send->octets)));
  } else if (std::holds_alternative<smtp::StartTlsHandshake>(action)) {
    tls_running_ = true;
    connection_->start_tls_client(upstream_->tls_context, upstream_->host);
  } else if (std::holds_alternative<smtp::ReadyForTransaction>(action)) {
    was_ready_ = true;
    events_.ready();
  } else if (std::holds_alternative<smtp::SendContent>(action)) {
    content_wanted_ = true;
    feed_content();
  } else if (auto* done = std::get_if<smtp::TransactionDone>(&action)) {
    content_wanted_ = false;
    source_.reset();
    events_.transaction_done(std::move(done->results), std::exchange(source_error_, std::nullopt));
  } else if (auto* failed = std::get_if<smtp::SessionFailed>(&action)) {
    failure_ = trouble_of(*failed);
    end(*failure_);
  } else {
    end(failure_.value_or(Trouble{"4.4.2", "the connection was closed"}));
  }
}

void UpstreamConnection::feed_content() {
  if (!content_wanted_ || reading_content_ || !source_ || ended_) return;
  if (connection_->pending_bytes() > unsent_bytes_max) return;  // on_drained comes back
  reading_content_ = true;
  source_->next([this](Result<Bytes> octets) { content_read(std::move(octets)); });
}

void UpstreamConnection::content_read(Result<Bytes> octets) {
  reading_content_ = false;
  if (!content_wanted_ || ended_) return;
  if (!octets) {
    // The final dot is never sent: the upstream throws away what it has (RFC 5321 §4.1.1.4).
    source_error_ = octets.error();
    session_.connection_lost("the stored message could not be read: " + octets.error().detail);
    pump();
    return;
  }
  if (octets->empty()) {
    content_wanted_ = false;
    session_.end_content();
  } else {
    session_.send_content(*octets);
  }
  const auto alive = alive_;
  pump();
  if (*alive) feed_content();
}

void UpstreamConnection::connection_closed(std::optional<Error> error) {
  if (ended_) return;
  const std::string reason = error ? error->text() : upstream_->host + " closed the connection";
  if (tls_running_) {
    // The certificate or the handshake: the session heard nothing and nothing more is sent.
    end({"4.7.5", reason});
    return;
  }
  session_.connection_lost(reason);
  const auto alive = alive_;
  pump();
  if (*alive) end({"4.4.2", reason});
}

void UpstreamConnection::arm_timer() {
  if (tls_running_) {
    timer_.start(upstream_tls_timeout,
                 [this] { end({"4.4.2", "the TLS handshake took too long"}); });
    return;
  }
  const auto wait = session_.timeout();
  if (!wait) {
    timer_.stop();
    return;
  }
  timer_.start(*wait, [this] {
    session_.timed_out();
    pump();
  });
}

Trouble UpstreamConnection::trouble_of(const smtp::SessionFailed& failure) const {
  using Kind = smtp::SessionFailed::Kind;
  std::string reason = upstream_->host + ": " + failure.detail;
  switch (failure.kind) {
    case Kind::tls_not_offered:
      return {"4.7.4", std::move(reason)};
    case Kind::authentication_refused:
      return {"4.7.8", std::move(reason)};
    case Kind::protocol_error:
      return {"4.5.0", std::move(reason)};
    case Kind::upstream_refused:
      // RFC 3463 §3.4, §3.5: 4.3.2, not now; after a 5yz to greeting or EHLO nothing will be
      // better.
      return {failure.reply && failure.reply->permanent_failure() ? "4.5.0" : "4.3.2",
              std::move(reason)};
    case Kind::timeout:
    case Kind::lost:
      return {"4.4.2", std::move(reason)};
  }
  return {"4.0.0", std::move(reason)};
}

void UpstreamConnection::end(Trouble trouble) {
  if (std::exchange(ended_, true)) return;
  timer_.stop();
  source_.reset();
  if (connection_) connection_->close_after_writing();
  events_.ended(std::move(trouble));
}

}  // namespace postern::delivery
