// The control socket's asking side for the command; see the header.
#include "relay_client.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "relay/config/configuration.hpp"
#include "relay/net/local_socket.hpp"

namespace postern::tools {

namespace {

// A reload reads keys and users; a list reads the queue. Nobody waits longer at a terminal.
constexpr Duration answer_timeout = std::chrono::seconds(30);

struct Asked {
  Outcome<Json> outcome;
  bool running = true;
};

Asked ask(const std::string& configuration_path, const control::Request& request) {
  const auto where = config::read_whereabouts(configuration_path);
  if (!where) return {stop(where.error())};
  const auto line = net::ask_local_server(where->control_socket, control::encode_request(request),
                                          answer_timeout);
  if (!line) {
    if (line.error().kind != ErrorKind::not_found) return {stop(line.error())};
    return {
        stop(fmt::format("the relay is not running (no control socket at {})",
                         where->control_socket),
             fmt::format(
                 "Start it with `systemctl start postern`, or by hand with `posternd --config {}`.",
                 configuration_path)),
        false};
  }
  const auto response = control::decode_response(*line);
  if (!response) {
    return {stop(response.error().text(),
                 "The relay may be of another version; restart it, then try again.")};
  }
  if (!response->ok) return {stop(response->error, response->advice)};
  auto json = control::read_json(response->result_json, control::response_bytes_max);
  if (!json) return {stop("the relay's answer is no JSON", "Restart the relay, then try again.")};
  return {std::move(*json)};
}

}  // namespace

Outcome<Json> ask_relay(const std::string& configuration_path, const control::Request& request) {
  return ask(configuration_path, request).outcome;
}

ReloadOutcome reload_if_running(const std::string& configuration_path) {
  Asked asked =
      ask(configuration_path, {.verb = control::Verb::reload, .id = std::nullopt, .all = false});
  if (asked.outcome) return {ReloadOutcome::Kind::reloaded, {}};
  if (!asked.running) return {ReloadOutcome::Kind::not_running, {}};
  return {ReloadOutcome::Kind::refused, std::move(asked.outcome).error()};
}

void tell_reload(const ReloadOutcome& outcome, Report& report) {
  switch (outcome.kind) {
    case ReloadOutcome::Kind::reloaded:
      report.json["reload"] = "done";
      report.text += "The relay has reloaded; the change is in force.\n";
      break;
    case ReloadOutcome::Kind::not_running:
      report.json["reload"] = "not-running";
      report.text += "The relay is not running; it reads the change when it starts.\n";
      break;
    case ReloadOutcome::Kind::refused:
      report.json["reload"] = "refused";
      report.json["reload_error"] = outcome.failure.error;
      report.json["reload_advice"] = outcome.failure.advice;
      report.warning = fmt::format(
          "the change is written, but the relay could not be asked to reload: {}\n{} Then: "
          "`postern reload`.",
          outcome.failure.error, outcome.failure.advice);
      break;
  }
}

}  // namespace postern::tools
