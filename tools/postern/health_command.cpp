// The health check; see the header.
#include "health_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "relay/base/bytes.hpp"
#include "relay/base/file.hpp"
#include "relay_client.hpp"

namespace postern::tools {

namespace {

// A line each: the fault's status, or this word; a blank; the upstream's name. At most 64 of them.
constexpr std::string_view reached_before = "reached";
constexpr std::size_t faults_bytes_max = 16UZ * 1024;

// The relay gives every peer a verdict within 45 s.
constexpr Duration health_timeout = std::chrono::minutes(1);

std::string fault_of(const Json& upstream) {
  return text_at(upstream, "status") + ' ' + text_at(upstream, "name");
}

// A file that cannot be read excuses nothing.
std::set<std::string> read_faults(const std::optional<std::string>& path) {
  std::set<std::string> faults;
  const auto text = path ? read_file(*path, faults_bytes_max) : std::string();
  if (!text) return faults;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    faults.insert(text->substr(at, end - at));
    at = end + 1;
  }
  return faults;
}

Result<> write_faults(const Json& upstreams, const std::string& path) {
  std::string text;
  for (const Json& upstream : upstreams) {
    const std::string result = text_at(upstream, "result");
    if (result == "faulty") text += fault_of(upstream) + '\n';
    if (result == reached_before) text += result + ' ' + text_at(upstream, "name") + '\n';
  }
  return write_file_atomically(path, as_bytes(text), 0600);
}

struct Verdict {
  std::vector<std::vector<std::string>> rows = {{"TRIED", "RESULT", "WHY"}};
  std::string first_fault;

  void add(const Json& peer, const std::string& kind, std::string result, bool fault) {
    const std::string name = kind + ' ' + printable(text_at(peer, "name"));
    const std::string reason = text_at(peer, "reason");
    const std::string why = reason.empty() ? reason : printable(reason);
    if (fault && first_fault.empty()) first_fault = fmt::format("{}: {}", name, why);
    rows.push_back({name, std::move(result), why});
  }
};

// One away may be down. All away, where one was reached just before, is a machine without a
// network.
bool lost_the_network(const Json& upstreams, const std::set<std::string>& known) {
  const bool all_away = std::ranges::all_of(
      upstreams, [](const Json& upstream) { return text_at(upstream, "result") == "away"; });
  return all_away && std::ranges::any_of(known, [](const std::string& line) {
           return line.starts_with(std::string(reached_before) + ' ');
         });
}

Verdict judge(const Json& answer, const std::set<std::string>& known) {
  Verdict verdict;
  const bool lost = lost_the_network(list_at(answer, "upstreams"), known);
  for (const Json& listener : list_at(answer, "listeners")) {
    const bool good = text_at(listener, "result") == "reached";
    verdict.add(listener, "listener", good ? "good" : "faulty", !good);
  }
  for (const Json& upstream : list_at(answer, "upstreams")) {
    std::string result = printable(text_at(upstream, "result"));
    const bool faulty = result != "reached" && result != "away";
    const bool expected = faulty && known.contains(fault_of(upstream));
    if (expected) result += ", as before";
    if (lost) result += ", as is every other, and one was reached before";
    verdict.add(upstream, "upstream", std::move(result), (faulty && !expected) || lost);
  }
  return verdict;
}

}  // namespace

Outcome<> check_health(const std::string& configuration_path, const HealthOrder& order) {
  auto answer =
      ask_relay(configuration_path, {control::Verb::health, std::nullopt, false}, health_timeout);
  if (!answer) return std::unexpected(answer.error());
  if (list_at(*answer, "listeners").empty())
    return stop("the relay tells of no listener", "Restart the relay, then try again.");
  if (order.note) {
    if (auto noted = write_faults(list_at(*answer, "upstreams"), *order.note); !noted)
      return stop(noted.error());
  }
  const Verdict verdict = judge(*answer, read_faults(order.known));
  Report report;
  report.text = table(verdict.rows);
  report.json = std::move(*answer);
  report.json["healthy"] = verdict.first_fault.empty();
  if (!verdict.first_fault.empty()) {
    report.exit_code = exit_failed;
    report.warning = verdict.first_fault;
  }
  return report;
}

}  // namespace postern::tools
