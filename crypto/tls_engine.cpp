// The TLS engine: mbedTLS between two buffers; declared with its promise in crypto/tls.hpp.
//
// Sharp edges of mbedTLS 3.6.6 that this file goes around, each with a test:
//  - a TLS 1.3 ticket is accepted in a TLS 1.2 resumption and the other way round
//    (CVE-2026-93831): tickets are parsed by a callback of ours, which compares the session's
//    version with the connection's;
//  - a forged ServerHello gives a session without keys (CVE-2026-115490): tls_guard looks first,
//    and a finished handshake is checked once more as a whole;
//  - it answers every TLS 1.2 hello after the handshake from inside mbedtls_ssl_read, without an
//    end: counted here;
//  - mbedtls_ssl_session_reset leaves things behind: an engine serves one connection and is never
//    reset.
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "crypto/mbedtls_support.hpp"
#include "crypto/tls.hpp"
#include "crypto/tls_certificate_rules.hpp"
#include "crypto/tls_guard.hpp"
#include "crypto/tls_parts.hpp"
#include "crypto/tls_words.hpp"
#include "relay/base/assert.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

namespace {

// What is decrypted at a time; a record holds four of these.
constexpr std::size_t read_piece_bytes = 4096;
// What mbedTLS may write while it reads after the handshake, in a connection's whole life. A
// TLS 1.3 ticket is about 200 octets, a no_renegotiation alert 31 (RFC 5246 §7.2.2): a peer that
// asks now and then goes on. One that sends hellos of four octets and reads nothing would fill our
// memory with eight times what it sends, before any login.
constexpr std::size_t answers_after_handshake_bytes_max = 1024;
// RFC 1035 §2.3.4; what mbedTLS takes in server_name is no longer either.
constexpr std::size_t host_bytes_max = 253;
// Record header, handshake header and legacy_version: what is kept of a client's first octets.
constexpr std::size_t first_octets_max = 11;
// A fatal alert in clear: type, version, length 2, level 2; the description follows (RFC 8446 §6).
constexpr std::array<std::uint8_t, 6> clear_alert_start = {21, 3, 3, 0, 2, 2};
// The whole of "smtp", for the server's side of ALPN (RFC 7301).
constexpr const char* alpn_protocols[] = {"smtp", nullptr};

std::string plain_host(std::string host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.pop_back();
  return host;
}

}  // namespace

struct TlsEngine::Parts {
  explicit Parts(bool is_server) : server(is_server) {
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_init(&ssl);
  }
  ~Parts() {
    wipe(plaintext);
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&config);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  const bool server;
  std::shared_ptr<const TlsServerContext> server_context;
  std::shared_ptr<const TlsClientContext> client_context;
  std::string host;
  std::optional<CertificateRules> rules;  // client only
  ServerHelloGuard guard;                 // client only
  mbedtls_ssl_config config;
  mbedtls_ssl_context ssl;

  ByteView input;  // what the call in progress was given and mbedTLS has not taken yet
  Bytes output;
  Bytes plaintext;
  std::array<std::byte, first_octets_max> first_octets{};
  std::size_t first_octets_have = 0;
  std::optional<std::uint8_t>
      clear_alert;  // server only: what the last input of the handshake ended in
  bool handshake_done = false;
  bool reading = false;                     // inside mbedtls_ssl_read
  std::size_t answers_after_handshake = 0;  // octets
  bool full_handshake = false;              // certificates were exchanged: not resumed
  bool expected_chain_shown = false;        // client only: see TlsClientContext::expecting()
  Status status = Status::need_input;
  Error error{ErrorKind::invalid, {}, {}};

  [[nodiscard]] int setup();
  void run();
  void shake_hands();
  void read_all();
  void finish_handshake();
  void give_up(int code);
  void give_up(Error why, unsigned char alert);
  [[nodiscard]] bool guard_passes(ByteView from_peer);
  void keep_for_words(ByteView from_peer);
  [[nodiscard]] std::uint16_t offered_version() const;
  [[nodiscard]] std::string_view handshake_flaw();

  static int compare_chain(void* engine, mbedtls_x509_crt* certificate, int depth,
                           std::uint32_t* flags);
  static int receive_from(void* engine, unsigned char* buffer, std::size_t size);
  static int send_to(void* engine, const unsigned char* data, std::size_t size);
  static int write_ticket(void* engine, const mbedtls_ssl_session* session, unsigned char* start,
                          const unsigned char* end, std::size_t* size, std::uint32_t* life_seconds);
  static int parse_ticket(void* engine, mbedtls_ssl_session* session, unsigned char* data,
                          std::size_t size);
};

int TlsEngine::Parts::setup() {
  const TlsVersion version_min =
      server ? server_context->parts().version_min : client_context->parts().version_min;
  int code =
      configure_tls(config, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT, version_min);
  if (code != 0) return code;
  if (server) {
    TlsServerContext::Parts& parts = server_context->parts();
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
    code = mbedtls_ssl_conf_own_cert(&config, &parts.certificate.chain, &parts.key.key);
    if (code == 0)
      code = mbedtls_ssl_conf_alpn_protocols(&config, const_cast<const char**>(alpn_protocols));
    mbedtls_ssl_conf_session_tickets_cb(&config, write_ticket, parse_ticket, this);
  } else {
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
    if (const auto& expected = client_context->parts().expected) {
      mbedtls_ssl_conf_ca_chain(&config, &expected->parts().certificate.chain, nullptr);
      mbedtls_ssl_conf_verify(&config, compare_chain, this);
    } else {
      mbedtls_ssl_conf_ca_chain(&config, &client_context->parts().roots.chain, nullptr);
      mbedtls_ssl_conf_verify(&config, CertificateRules::verify, &*rules);
    }
    mbedtls_ssl_conf_session_tickets(&config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
  }
  if (code == 0) code = mbedtls_ssl_setup(&ssl, &config);
  if (code == 0 && !server) {
    // RFC 6066 §3: an address is never sent as server_name. The rules compare it with the
    // certificate.
    code = mbedtls_ssl_set_hostname(&ssl, rules->host_is_address() ? nullptr : host.c_str());
  }
  mbedtls_ssl_set_bio(&ssl, this, send_to, receive_from, nullptr);
  return code;
}

// In place of all rules for certificates: octet by octet what is expected, or nothing.
int TlsEngine::Parts::compare_chain(void* engine, mbedtls_x509_crt* certificate, int depth,
                                    std::uint32_t* flags) {
  *flags = 0;
  if (depth != 0) return 0;
  Parts& parts = *static_cast<Parts*>(engine);
  const mbedtls_x509_crt* expected =
      &parts.client_context->parts().expected->parts().certificate.chain;
  const mbedtls_x509_crt* shown = certificate;
  while (expected != nullptr && shown != nullptr &&
         std::ranges::equal(std::span(expected->raw.p, expected->raw.len),
                            std::span(shown->raw.p, shown->raw.len))) {
    expected = expected->next;
    shown = shown->next;
  }
  parts.expected_chain_shown = expected == nullptr && shown == nullptr;
  if (!parts.expected_chain_shown) *flags = MBEDTLS_X509_BADCERT_OTHER;
  return 0;
}

int TlsEngine::Parts::receive_from(void* engine, unsigned char* buffer, std::size_t size) {
  ByteView& input = static_cast<Parts*>(engine)->input;
  if (input.empty()) return MBEDTLS_ERR_SSL_WANT_READ;
  const std::size_t take = std::min(size, input.size());
  std::memcpy(buffer, input.data(), take);
  input = input.subspan(take);
  return static_cast<int>(take);
}

int TlsEngine::Parts::send_to(void* engine, const unsigned char* data, std::size_t size) {
  Parts& parts = *static_cast<Parts*>(engine);
  if (parts.reading) {
    parts.answers_after_handshake += size;
    if (parts.answers_after_handshake > answers_after_handshake_bytes_max) {
      return MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE;  // mbedtls_ssl_read ends with it
    }
  }
  append(parts.output, std::as_bytes(std::span(data, size)));
  return static_cast<int>(size);
}

int TlsEngine::Parts::write_ticket(void* engine, const mbedtls_ssl_session* session,
                                   unsigned char* start, const unsigned char* end,
                                   std::size_t* size, std::uint32_t* life_seconds) {
  const Parts& parts = *static_cast<Parts*>(engine);
  const int code = mbedtls_ssl_ticket_write(&parts.server_context->parts().tickets, session, start,
                                            end, size, life_seconds);
  // mbedTLS 3.6.6 sends what these two held before when the ticket could not be written.
  if (code != 0) *size = *life_seconds = 0;
  return code;
}

int TlsEngine::Parts::parse_ticket(void* engine, mbedtls_ssl_session* session, unsigned char* data,
                                   std::size_t size) {
  const Parts& parts = *static_cast<Parts*>(engine);
  const int code =
      mbedtls_ssl_ticket_parse(&parts.server_context->parts().tickets, session, data, size);
  if (code != 0) return code;
  if (session->MBEDTLS_PRIVATE(tls_version) == mbedtls_ssl_get_version_number(&parts.ssl)) return 0;
  mbedtls_ssl_session_free(session);  // also makes it an empty one again
  return MBEDTLS_ERR_SSL_INVALID_MAC;
}

void TlsEngine::Parts::run() {
  if (status == Status::failed || status == Status::closed) return;
  if (!handshake_done) shake_hands();
  if (handshake_done && status == Status::ready) read_all();
}

void TlsEngine::Parts::shake_hands() {
  while (mbedtls_ssl_is_handshake_over(&ssl) == 0) {
    if (ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE) full_handshake = true;
    const int code = mbedtls_ssl_handshake_step(&ssl);
    if (code == MBEDTLS_ERR_SSL_WANT_READ) return;
    if (code != 0) return give_up(code);
  }
  finish_handshake();
}

// What must be true of every session that a client goes on with, whatever mbedTLS believes.
std::string_view TlsEngine::Parts::handshake_flaw() {
  constexpr int tls_1_3_suites = 0x1300;  // RFC 8446 appendix B.4: 0x13,0x01 and so on
  const bool version_1_3 = mbedtls_ssl_get_version_number(&ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
  const bool suite_1_3 = (mbedtls_ssl_get_ciphersuite_id_from_ssl(&ssl) & 0xFF00) == tls_1_3_suites;
  if (version_1_3 != suite_1_3) return "the cipher suite does not belong to the TLS version";
  if (server) return {};
  if (!guard.done()) return "it ended without a ServerHello";
  const bool accepted =
      client_context->parts().expected ? expected_chain_shown : rules->leaf_accepted();
  if (mbedtls_ssl_get_verify_result(&ssl) != 0 || !accepted ||
      mbedtls_ssl_get_peer_cert(&ssl) == nullptr) {
    return "the server's certificate was not verified";
  }
  return {};
}

void TlsEngine::Parts::finish_handshake() {
  if (const std::string_view flaw = handshake_flaw(); !flaw.empty()) {
    TlsFailure failure{.server = server, .host = host};
    failure.certificate_problem = flaw;
    return give_up(tls_error(failure), MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
  }
  handshake_done = true;
  status = Status::ready;
}

void TlsEngine::Parts::read_all() {
  std::array<unsigned char, read_piece_bytes> piece;
  while (true) {
    reading = true;
    const int code = mbedtls_ssl_read(&ssl, piece.data(), piece.size());
    reading = false;
    if (answers_after_handshake > answers_after_handshake_bytes_max) {
      give_up(MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE);
      break;
    }
    if (code > 0) {
      append_wiping(plaintext,
                    std::as_bytes(std::span(piece).first(static_cast<std::size_t>(code))));
    } else if (code == MBEDTLS_ERR_SSL_WANT_READ) {
      break;
    } else if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
      status = Status::closed;
      break;
    } else if (code != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
      // A ticket is nothing to us: a client engine does not resume.
      give_up(code == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : code);
      break;
    }
  }
  wipe(std::as_writable_bytes(std::span(piece)));
}

void TlsEngine::Parts::give_up(int code) {
  TlsFailure failure{
      .code = code, .server = server, .handshake_done = handshake_done, .host = host};
  if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && ssl.MBEDTLS_PRIVATE(in_msg) != nullptr) {
    failure.alert = ssl.MBEDTLS_PRIVATE(in_msg)[1];  // level, description (RFC 8446 §6)
  }
  // Some clients refuse a TLS 1.3 server's certificate by an alert in clear, which then does not
  // decrypt.
  if (code == MBEDTLS_ERR_SSL_INVALID_MAC && !handshake_done) failure.alert = clear_alert;
  failure.asks_on_and_on = answers_after_handshake > answers_after_handshake_bytes_max;
  failure.offered_version = offered_version();
  // RFC 8446 §5.1: a record's type is 20 to 23; anything else first is not TLS.
  if (server && !handshake_done && first_octets_have > 0) {
    const auto type = std::to_integer<std::uint8_t>(first_octets[0]);
    failure.plain_text = type < 20 || type > 23;
  }
  if (rules) failure.certificate_problem = rules->problem();
  if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && !server && client_context->parts().expected)
    failure.certificate_problem = "the server shows another certificate than the configured one";
  error = tls_error(failure);
  status = Status::failed;
}

void TlsEngine::Parts::give_up(Error why, unsigned char alert) {
  error = std::move(why);
  status = Status::failed;
  // Best effort: the connection ends in any case.
  (void)mbedtls_ssl_send_alert_message(&ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
}

bool TlsEngine::Parts::guard_passes(ByteView from_peer) {
  const std::string operation = "TLS handshake with " + host;
  switch (guard.inspect(from_peer)) {
    case ServerHelloGuard::Verdict::pass:
      return true;
    case ServerHelloGuard::Verdict::plain_text:
      error = tls_error({.host = host, .plain_text = true});
      status = Status::failed;  // no alert: the peer would not understand it
      return false;
    case ServerHelloGuard::Verdict::old_version:
      give_up({ErrorKind::unsupported, operation,
               "the server speaks only " + std::string(tls_version_name(guard.version())) +
                   "; TLS 1.2 or newer is needed"},
              MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION);
      return false;
    case ServerHelloGuard::Verdict::forged:
      give_up(
          {ErrorKind::denied, operation,
           "the server's hello is forged or broken (RFC 8446 §4.1.3); somebody may be in between"},
          MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER);
      return false;
  }
  return false;
}

// Nothing kept here decides anything; it makes the error say what an operator can use.
void TlsEngine::Parts::keep_for_words(ByteView from_peer) {
  const std::size_t take = std::min(from_peer.size(), first_octets_max - first_octets_have);
  std::ranges::copy(from_peer.first(take),
                    first_octets.begin() + static_cast<std::ptrdiff_t>(first_octets_have));
  first_octets_have += take;
  clear_alert.reset();
  if (from_peer.size() <= clear_alert_start.size()) return;
  const ByteView end = from_peer.last(clear_alert_start.size() + 1);
  if (std::ranges::equal(end.first(clear_alert_start.size()),
                         std::as_bytes(std::span(clear_alert_start)))) {
    clear_alert = std::to_integer<std::uint8_t>(end.back());
  }
}

std::uint16_t TlsEngine::Parts::offered_version() const {
  if (!server || first_octets_have < first_octets_max || !looks_like_client_hello(first_octets)) {
    return 0;
  }
  return static_cast<std::uint16_t>(std::to_integer<std::uint16_t>(first_octets[9]) << 8 |
                                    std::to_integer<std::uint16_t>(first_octets[10]));
}

TlsEngine::TlsEngine() = default;
TlsEngine::~TlsEngine() = default;

Result<std::unique_ptr<TlsEngine>> TlsEngine::server(
    std::shared_ptr<const TlsServerContext> context) {
  POSTERN_ASSERT(context != nullptr);
  std::unique_ptr<TlsEngine> engine(new TlsEngine);
  engine->parts_ = std::make_unique<Parts>(true);
  engine->parts_->server_context = std::move(context);
  if (const int code = engine->parts_->setup(); code != 0) {
    return fail(ErrorKind::no_space, "prepare TLS for a client", mbedtls_words(code));
  }
  return engine;
}

Result<std::unique_ptr<TlsEngine>> TlsEngine::client(
    std::shared_ptr<const TlsClientContext> context, std::string host) {
  POSTERN_ASSERT(context != nullptr);
  host = plain_host(std::move(host));
  const bool plain = std::ranges::all_of(host, [](char c) { return c > ' ' && c <= '~'; });
  if (host.empty() || host.size() > host_bytes_max || !plain) {
    return fail(ErrorKind::invalid, "prepare TLS as a client",
                "the server's host name is empty, too long or not in ASCII; its certificate could "
                "not be checked");
  }
  std::unique_ptr<TlsEngine> engine(new TlsEngine);
  engine->parts_ = std::make_unique<Parts>(false);
  Parts& parts = *engine->parts_;
  parts.client_context = std::move(context);
  parts.host = std::move(host);
  parts.rules.emplace(parts.client_context->parts().roots.chain, parts.host, read_clocks().wall);
  if (const int code = parts.setup(); code != 0) {
    return fail(ErrorKind::no_space, "prepare TLS with " + parts.host, mbedtls_words(code));
  }
  return engine;
}

TlsEngine::Status TlsEngine::receive(ByteView from_peer) {
  Parts& parts = *parts_;
  if (parts.status == Status::failed || parts.status == Status::closed) return parts.status;
  if (parts.server && !parts.handshake_done) parts.keep_for_words(from_peer);
  if (!parts.server && !parts.handshake_done && !parts.guard_passes(from_peer)) {
    return parts.status;
  }
  parts.input = from_peer;
  parts.run();
  parts
      .input = {};  // all of it is taken, or the connection is over and the rest counts for nothing
  return parts.status;
}

TlsEngine::Status TlsEngine::advance() {
  parts_->run();
  return parts_->status;
}

Bytes TlsEngine::take_plaintext() { return std::exchange(parts_->plaintext, {}); }
Bytes TlsEngine::take_output() { return std::exchange(parts_->output, {}); }

Result<> TlsEngine::send(ByteView plaintext) {
  Parts& parts = *parts_;
  if (parts.status != Status::ready) {
    return fail(ErrorKind::invalid, "send over TLS", "the connection is not up, or over");
  }
  while (!plaintext.empty()) {
    const int code = mbedtls_ssl_write(
        &parts.ssl, reinterpret_cast<const unsigned char*>(plaintext.data()), plaintext.size());
    if (code <= 0) {
      parts.give_up(code == 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : code);
      return std::unexpected(parts.error);
    }
    plaintext = plaintext.subspan(static_cast<std::size_t>(code));
  }
  return {};
}

void TlsEngine::send_close_notify() {
  // Before the handshake is done mbedTLS sends none; after a failure an alert is already out.
  if (parts_->status != Status::failed) (void)mbedtls_ssl_close_notify(&parts_->ssl);
}

TlsEngine::Status TlsEngine::status() const { return parts_->status; }

const Error& TlsEngine::error() const {
  POSTERN_ASSERT(parts_->status == Status::failed);
  return parts_->error;
}

TlsFacts TlsEngine::facts() const {
  POSTERN_ASSERT(parts_->handshake_done);
  return {mbedtls_ssl_get_version(&parts_->ssl),
          standard_suite_name(mbedtls_ssl_get_ciphersuite(&parts_->ssl)),
          parts_->server && !parts_->full_handshake};
}

}  // namespace postern::crypto
