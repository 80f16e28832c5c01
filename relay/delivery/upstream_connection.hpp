// One connection to an upstream: resolve, connect, TLS, SMTP session, and transactions one after
// the other.
//
// Promise: nothing but what the DeliverySession asks to send ever leaves; the certificate is
// verified by the TLS engine against the configured host name before the session hears of TLS.
// Every state has a timeout. `ended` is the last event, and its Trouble tells why. Sharp edge:
// `ended` must not destroy the connection on the spot; its owner does that from a fresh stack.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/callback.hpp"
#include "relay/delivery/delivery_settings.hpp"
#include "relay/delivery/message_source.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/loop.hpp"
#include "relay/net/resolver.hpp"
#include "relay/smtp/delivery_session.hpp"

namespace postern::delivery {

inline constexpr Duration connect_timeout = std::chrono::seconds(30);  // an address
inline constexpr Duration upstream_tls_timeout = std::chrono::seconds(60);
// Octets written and not yet taken by the upstream; more content is read from storage below it.
inline constexpr std::size_t unsent_bytes_max = 256UZ * 1024;

class UpstreamConnection {
 public:
  struct Events {
    Callback<> ready;  // a transaction may begin
    // Results in the envelope's order; `source_error` when the message itself could not be read.
    Callback<std::vector<smtp::RecipientResult>, std::optional<Error>> transaction_done;
    Callback<Trouble> ended;
  };
  UpstreamConnection(net::Loop& loop, net::Resolver& resolver, Logger& log, std::string hostname,
                     std::shared_ptr<const UpstreamSettings> upstream, Events events);
  ~UpstreamConnection();
  UpstreamConnection(const UpstreamConnection&) = delete;
  UpstreamConnection& operator=(const UpstreamConnection&) = delete;

  void start();
  void begin(smtp::Envelope envelope, std::uint64_t content_bytes,
             std::unique_ptr<MessageSource> source);
  void quit();  // politely, when idle; `ended` follows
  [[nodiscard]] std::size_t transactions() const { return transactions_; }  // begun so far
  [[nodiscard]] bool was_ready() const { return was_ready_; }
  [[nodiscard]] bool passes_on_report_wishes() const { return session_.passes_on_report_wishes(); }
  // RFC 9422 MAILMAX: the upstream takes no further transaction on this connection.
  [[nodiscard]] bool used_up() const {
    return transactions_ >= session_.transactions_max().value_or(SIZE_MAX);
  }

 private:
  void resolved(Result<std::vector<SocketAddress>> addresses);
  void connected(Result<std::unique_ptr<net::Connection>> connection);
  void pump(bool progress = true);
  void perform(smtp::DeliveryAction action);
  void feed_content();
  void content_read(Result<Bytes> octets);
  void connection_closed(std::optional<Error> error);
  void arm_timer();
  void end(Trouble trouble);
  [[nodiscard]] Trouble trouble_of(const smtp::SessionFailed& failure) const;

  net::Loop& loop_;
  net::Resolver& resolver_;
  Logger& log_;
  std::shared_ptr<const UpstreamSettings> upstream_;
  Events events_;
  smtp::DeliverySession session_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<MessageSource> source_;
  std::optional<Error> source_error_;
  std::optional<Trouble> failure_;  // what the session said before the end
  net::Timer timer_;
  std::size_t transactions_ = 0;
  bool reading_content_ = false;
  bool content_wanted_ = false;
  bool tls_running_ = false;
  bool was_ready_ = false;
  bool ended_ = false;
  bool pumping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::delivery
