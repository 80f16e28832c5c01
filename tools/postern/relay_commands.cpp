// Status, reload and check; see the header.
#include "relay_commands.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "box_commands.hpp"
#include "relay/config/check.hpp"
#include "relay/config/configuration.hpp"
#include "relay_client.hpp"

namespace postern::tools {

namespace {

// Time enough to renew by hand, as in the relay's log.
constexpr int certificate_warning_days = 14;

// The day of an RFC 3339 time.
std::optional<std::chrono::sys_days> day_of(std::string_view time) {
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = -1;
    if (time.size() < at + size) return value;
    std::from_chars(time.data() + at, time.data() + at + size, value);
    return value;
  };
  const int month = number(5, 2);
  const int day = number(8, 2);
  if (month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(number(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

// Times of one form in UTC: their texts sort as they do.
std::string certificate_words(const std::string& expires, const std::string& now) {
  const auto end = day_of(expires);
  const auto today = day_of(now);
  if (!end || !today) return printable(expires);
  constexpr std::string_view advice = "; renew it, then `postern reload`";
  if (expires <= now) return fmt::format("expired {}{}", printable(expires), advice);
  const auto days = (*end - *today).count();
  return fmt::format("expires {}, in {}{}", printable(expires),
                     counted(static_cast<std::uint64_t>(days), "day"),
                     days < certificate_warning_days ? advice : "");
}

std::string status_text(const Json& status) {
  std::string text =
      fmt::format("{}, posternd {}, running since {}\n\n", printable(text_at(status, "hostname")),
                  printable(text_at(status, "version")), printable(text_at(status, "started")));
  std::vector<std::vector<std::string>> listeners = {{"LISTENER", "TLS"}};
  for (const Json& listener : list_at(status, "listeners")) {
    listeners.push_back(
        {printable(text_at(listener, "address")), printable(text_at(listener, "tls"))});
  }
  text += table(listeners) + '\n';
  std::vector<std::vector<std::string>> upstreams = {{"UPSTREAM", "HOST", "OPEN", "LAST TROUBLE"}};
  for (const Json& upstream : list_at(status, "upstreams")) {
    const std::string trouble = text_at(upstream, "last_error");
    upstreams.push_back({printable(text_at(upstream, "name")), printable(text_at(upstream, "host")),
                         std::to_string(number_at(upstream, "connections")),
                         trouble.empty() ? "none" : printable(trouble)});
  }
  text += table(upstreams) + '\n';
  const auto queue = status.find("queue");
  if (queue != status.end()) {
    text += fmt::format("Queue          {}, {}; {} free on disk\n",
                        counted(number_at(*queue, "messages"), "message"),
                        human_bytes(number_at(*queue, "bytes")),
                        human_bytes(number_at(*queue, "free_bytes")));
    if (number_at(*queue, "quarantined") != 0) {
      text += fmt::format("Damaged        {}; see `postern queue list`\n",
                          counted(number_at(*queue, "quarantined"), "message"));
    }
  }
  text += fmt::format("Connections    {}\n", number_at(status, "connections"));
  text += fmt::format("Since start    {} relayed, {} delayed, {} failed\n",
                      counted(number_at(status, "relayed"), "recipient"),
                      number_at(status, "delayed"), number_at(status, "failed"));
  const std::string expires = text_at(status, "certificate_expires");
  if (!expires.empty()) {
    text += fmt::format("Certificate    {}\n", certificate_words(expires, text_at(status, "now")));
  }
  const std::string waits = restart_words(status);
  if (!waits.empty()) text += '\n' + waits;
  return text;
}

Json json_of(const std::vector<config::Problem>& problems) {
  Json list = Json::array();
  for (const config::Problem& problem : problems) {
    Json item;
    item["file"] = problem.file;
    item["line"] = problem.line;
    item["column"] = problem.column;
    item["message"] = problem.message;
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace

Outcome<> show_status(const std::string& configuration_path) {
  auto result = ask_relay(configuration_path, {control::Verb::status, std::nullopt, false});
  if (!result) return std::unexpected(with_box(result.error()));
  if (!result->is_object())
    return stop("the relay's answer is no status", "Restart the relay, then try again.");
  Report report;
  report.text = status_text(*result);
  const std::string problem = text_at(*result, "reload_problem");
  if (!problem.empty()) {
    report.warning = fmt::format(
        "the last reload was refused and the configuration from before is in force:\n{}\n"
        "Mend it, see `postern check`, then `postern reload`.",
        readable_lines(problem));
  }
  report.json = std::move(*result);
  tell_box(report);
  return report;
}

Outcome<> reload(const std::string& configuration_path) {
  auto result = ask_relay(configuration_path, {control::Verb::reload, std::nullopt, false});
  if (!result) return std::unexpected(result.error());
  Report report;
  report.text = "The relay has reloaded its configuration.\n" + restart_words(*result);
  report.json = std::move(*result);
  return report;
}

Outcome<> check_configuration(const std::string& configuration_path) {
  const config::LoadResult result = config::check_configuration(configuration_path);
  const config::CheckReport checked = config::describe(result, configuration_path);
  Report report;
  report.text = checked.text;
  report.exit_code = checked.valid ? 0 : exit_failed;
  report.json["valid"] = checked.valid;
  report.json["problems"] = json_of(result.problems);
  report.json["warnings"] = json_of(result.warnings);
  if (!checked.valid)
    report.warning = "Mend these, then check again; the running relay keeps what it has.";
  return report;
}

}  // namespace postern::tools
