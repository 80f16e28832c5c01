// The whole client machine as one table: in which state does which reply lead to which step.
//
// Promise: DeliverySession decides nothing about replies outside this table; a unit test walks
// every cell. Sharp edge: only `dot` is the dangerous moment (a loss there may mean a duplicate);
// `content` is not, as long as the final dot has not been sent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "relay/base/clock.hpp"

namespace postern::smtp {

enum class DeliveryState : std::uint8_t {
  unconnected,
  greeting,         // TCP is up, the 220 is awaited
  ehlo,             // EHLO sent, in clear or inside TLS
  starttls,         // STARTTLS sent
  handshake,        // the driver does TLS; no octet may reach the session
  auth_plain,       // AUTH PLAIN without an initial response sent (it would not fit a line)
  auth_login,       // AUTH LOGIN sent
  auth_login_user,  // the user name sent
  auth_credential,  // the last piece of the credential sent
  ready,            // idle between transactions
  mail,
  rcpt,
  data,       // DATA sent
  content,    // 354 came, the driver feeds the message
  dot,        // the final dot was sent: a loss from here on may mean a duplicate
  empty_dot,  // 354 came although no recipient was accepted (RFC 2920 §3.1)
  reset,      // RSET sent
  quit,       // QUIT sent
  closed,
};
inline constexpr std::size_t delivery_states = 19;

enum class DeliveryEvent : std::uint8_t {
  positive,      // 2yz
  intermediate,  // 3yz
  transient,     // 4yz but 421
  permanent,     // 5yz
  closing,       // 421: the upstream ends the session (RFC 5321 §3.8)
  malformed,     // octets that are no reply
  lost,          // the connection is gone
  silent,        // the time of RFC 5321 §4.5.3.2 is over
};
inline constexpr std::size_t delivery_events = 8;

enum class DeliveryStep : std::uint8_t {
  say_ehlo,
  take_capabilities,
  begin_handshake,
  send_credential,
  send_login_user,
  send_login_password,
  become_ready,
  accept_mail,
  refuse_mail,
  accept_recipient,
  refuse_recipient,
  accept_data,
  refuse_data,
  refuse_content_early,
  accept_message,
  refuse_message,
  finish_empty_transaction,
  close,
  ignore,
  fail_greeting,  // the upstream does not want us: 554, 4yz
  fail_ehlo,
  fail_tls,  // STARTTLS refused
  fail_authentication,
  fail_reset,
  fail_closing,   // 421
  fail_protocol,  // not what SMTP says here
  fail_lost,
  fail_timeout,
};

struct DeliveryRow {
  DeliveryState state;
  std::string_view name;
  Duration timeout;  // zero: the upstream owes nothing
  std::array<DeliveryStep, delivery_events> steps;
};

namespace delivery_table {
using enum DeliveryState;
using enum DeliveryStep;
inline constexpr Duration none{0};
inline constexpr Duration command = std::chrono::minutes(5);     // RFC 5321 §4.5.3.2.1 to .3
inline constexpr Duration data_start = std::chrono::minutes(2);  // RFC 5321 §4.5.3.2.4
inline constexpr Duration data_block = std::chrono::minutes(3);  // RFC 5321 §4.5.3.2.5
inline constexpr Duration data_end = std::chrono::minutes(10);   // RFC 5321 §4.5.3.2.6
inline constexpr Duration tls_handshake =
    std::chrono::minutes(2);  // no RFC; longer than any slow link needs
inline constexpr Duration farewell = std::chrono::seconds(30);  // nobody waits long for a 221

// clang-format off
inline constexpr std::array<DeliveryRow, delivery_states> rows{{
    // state, name, timeout, {2yz, 3yz, 4yz, 5yz, 421, malformed, lost, silent}
    {unconnected, "unconnected", none,
     {fail_protocol, fail_protocol, fail_protocol, fail_protocol, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {greeting, "greeting", command,
     {say_ehlo, fail_protocol, fail_greeting, fail_greeting, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {ehlo, "ehlo", command,
     {take_capabilities, fail_protocol, fail_ehlo, fail_ehlo, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {starttls, "starttls", command,
     {begin_handshake, fail_protocol, fail_tls, fail_tls, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {handshake, "handshake", tls_handshake,
     {fail_protocol, fail_protocol, fail_protocol, fail_protocol, fail_protocol, fail_protocol, fail_lost, fail_timeout}},
    {auth_plain, "auth-plain", command,
     {fail_protocol, send_credential, fail_authentication, fail_authentication, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {auth_login, "auth-login", command,
     {fail_protocol, send_login_user, fail_authentication, fail_authentication, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {auth_login_user, "auth-login-user", command,
     {fail_protocol, send_login_password, fail_authentication, fail_authentication, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {auth_credential, "auth-credential", command,
     {become_ready, fail_protocol, fail_authentication, fail_authentication, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {ready, "ready", none,
     {fail_protocol, fail_protocol, fail_protocol, fail_protocol, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {mail, "mail", command,
     {accept_mail, fail_protocol, refuse_mail, refuse_mail, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {rcpt, "rcpt", command,
     {accept_recipient, fail_protocol, refuse_recipient, refuse_recipient, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {data, "data", data_start,
     {fail_protocol, accept_data, refuse_data, refuse_data, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {content, "content", data_block,
     {fail_protocol, fail_protocol, refuse_content_early, refuse_content_early, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {dot, "dot", data_end,
     {accept_message, fail_protocol, refuse_message, refuse_message, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {empty_dot, "empty-dot", data_end,
     {finish_empty_transaction, fail_protocol, finish_empty_transaction, finish_empty_transaction, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {reset, "reset", command,
     {become_ready, fail_protocol, fail_reset, fail_reset, fail_closing, fail_protocol, fail_lost, fail_timeout}},
    {quit, "quit", farewell,
     {close, close, close, close, close, close, close, close}},
    {closed, "closed", none,
     {ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore}},
}};
// clang-format on

// A row out of place would silently give another state's steps.
consteval bool rows_stand_in_order() {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<std::size_t>(rows[i].state) != i || rows[i].name.empty()) return false;
  }
  return true;
}
static_assert(rows_stand_in_order());
}  // namespace delivery_table

[[nodiscard]] constexpr const DeliveryRow& delivery_row(DeliveryState state) {
  return delivery_table::rows[static_cast<std::size_t>(state)];
}

[[nodiscard]] constexpr DeliveryStep delivery_step(DeliveryState state, DeliveryEvent event) {
  return delivery_row(state).steps[static_cast<std::size_t>(event)];
}

// The column of a reply code; the parser let only 200..599 through.
[[nodiscard]] constexpr DeliveryEvent delivery_event(std::uint16_t code) {
  if (code == 421) return DeliveryEvent::closing;
  if (code >= 200 && code < 300) return DeliveryEvent::positive;
  if (code >= 300 && code < 400) return DeliveryEvent::intermediate;
  if (code >= 400 && code < 500) return DeliveryEvent::transient;
  if (code >= 500 && code < 600) return DeliveryEvent::permanent;
  return DeliveryEvent::malformed;
}

}  // namespace postern::smtp
