// The control socket's asking side for the command; see the header.
#include "relay_client.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>

#include <utility>

#include "relay/backup/queue.hpp"
#include "relay/config/configuration.hpp"
#include "relay/config/file_source.hpp"
#include "relay/net/local_socket.hpp"

namespace postern::tools {

namespace {

// A queue of many GiB is copied on a slow medium while mail goes on.
constexpr Duration snapshot_timeout = std::chrono::hours(1);

// " or as postern": whose the socket is, or its directory when that may not be looked into.
std::string owner_words(const std::string& socket) {
  struct stat facts{};
  if (::stat(socket.c_str(), &facts) != 0 &&
      ::stat(config::directory_of(socket).c_str(), &facts) != 0) {
    return {};
  }
  if (facts.st_uid == 0) return {};
  const passwd* const owner = ::getpwuid(facts.st_uid);
  return owner == nullptr ? fmt::format(" or as user id {}", facts.st_uid)
                          : fmt::format(" or as {}", owner->pw_name);
}

struct Asked {
  Outcome<Json> outcome;
  bool running = true;
  bool answered = false;  // the failure is the relay's own word
};

Asked ask(const std::string& configuration_path, const control::Request& request,
          Duration timeout = answer_timeout) {
  const auto where = config::read_whereabouts(configuration_path);
  if (!where) return {stop(where.error())};
  const auto line =
      net::ask_local_server(where->control_socket, control::encode_request(request), timeout);
  if (!line) {
    if (line.error().kind == ErrorKind::denied) {
      return {stop(line.error().text(),
                   fmt::format("Run the command as root{}.", owner_words(where->control_socket)))};
    }
    if (line.error().kind != ErrorKind::not_found) return {stop(line.error())};
    // Else a user who was removed would be taken for gone, and the relay still let it in.
    if (backup::is_in_use(where->state_directory)) {
      return {stop(fmt::format("a relay has the queue in {}, but does not listen at {}",
                               where->state_directory, where->control_socket),
                   "Wait until it has started, name its configuration with --config if this is "
                   "another, or restart it if [server] control_socket was changed since then.")};
    }
    return {
        stop(line.error().text(),
             fmt::format("Start posternd with --config {}, or by the service manager that runs it.",
                         configuration_path)),
        false};
  }
  const auto response = control::decode_response(*line);
  if (!response) {
    return {stop(response.error().text(),
                 "The relay may be of another version; restart it, then try again.")};
  }
  if (!response->ok)
    return {stop(readable_lines(response->error), readable_lines(response->advice)), true, true};
  auto json = control::read_json(response->result_json, control::response_bytes_max);
  if (!json) return {stop("the relay's answer is no JSON", "Restart the relay, then try again.")};
  return {std::move(*json)};
}

}  // namespace

Outcome<Json> ask_relay(const std::string& configuration_path, const control::Request& request,
                        Duration timeout) {
  return ask(configuration_path, request, timeout).outcome;
}

Outcome<std::optional<std::string>> ask_snapshot(const std::string& configuration_path) {
  Asked asked =
      ask(configuration_path, {.verb = control::Verb::snapshot, .id = std::nullopt, .all = false},
          snapshot_timeout);
  if (!asked.running) return std::nullopt;
  if (!asked.outcome) return std::unexpected(asked.outcome.error());
  return text_at(*asked.outcome, "folder");
}

ReloadOutcome reload_if_running(const std::string& configuration_path) {
  Asked asked =
      ask(configuration_path, {.verb = control::Verb::reload, .id = std::nullopt, .all = false});
  if (asked.outcome) return {ReloadOutcome::Kind::reloaded, {}, std::move(*asked.outcome)};
  if (!asked.running) return {ReloadOutcome::Kind::not_running, {}, {}};
  return {asked.answered ? ReloadOutcome::Kind::refused : ReloadOutcome::Kind::not_asked,
          std::move(asked.outcome).error(),
          {}};
}

std::string restart_words(const Json& answer) {
  std::string lines;
  for (const Json& item : list_at(answer, "restart_needed")) {
    const auto* setting = item.get_ptr<const std::string*>();
    if (setting == nullptr) continue;
    if (*setting == "listener") {
      lines += "  the [[listener]] tables\n";
    } else {
      lines += fmt::format("  [server] {}\n", printable(*setting));
    }
  }
  if (lines.empty()) return {};
  return "These changes wait for a restart of posternd; until then the old ones hold:\n" + lines;
}

void tell_reload(const ReloadOutcome& outcome, Report& report) {
  switch (outcome.kind) {
    case ReloadOutcome::Kind::reloaded:
      report.json["reload"] = "done";
      report.json["restart_needed"] = list_at(outcome.answer, "restart_needed");
      report.text += "The relay has reloaded; the change is in force.\n";
      report.text += restart_words(outcome.answer);
      break;
    case ReloadOutcome::Kind::not_running:
      report.json["reload"] = "not-running";
      report.text += "The relay is not running; it reads the change when it starts.\n";
      break;
    case ReloadOutcome::Kind::refused:
    case ReloadOutcome::Kind::not_asked: {
      const bool refused = outcome.kind == ReloadOutcome::Kind::refused;
      report.json["reload"] = refused ? "refused" : "failed";
      report.json["reload_error"] = outcome.failure.error;
      report.json["reload_advice"] = outcome.failure.advice;
      report.exit_code = exit_failed;
      report.warning = fmt::format(
          "the change is written but not in force; the relay keeps the configuration\n"
          "from before, because it {}:\n{}\n{}\nThen: `postern reload`.",
          refused ? "refuses the new one" : "could not be asked to reload", outcome.failure.error,
          outcome.failure.advice);
      break;
    }
  }
}

}  // namespace postern::tools
