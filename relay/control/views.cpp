// The daemon's facts as JSON; see the header.
#include "relay/control/views.hpp"

#include <string_view>

#include "relay/control/json.hpp"

namespace postern::control {

namespace {

std::string_view state_name(storage::RecipientState state) {
  switch (state) {
    case storage::RecipientState::waiting:
      return "waiting";
    case storage::RecipientState::relayed:
      return "relayed";
    case storage::RecipientState::failed:
      return "failed";
  }
  return "waiting";
}

Json queue_figures(const storage::QueueFigures& figures) {
  Json object;
  object["messages"] = figures.messages;
  object["bytes"] = figures.bytes;
  object["quarantined"] = figures.quarantined;
  object["free_bytes"] = figures.free_bytes;
  object["commits"] = figures.commits;
  return object;
}

Json message_object(const storage::StoredMessage& message) {
  Json recipients = Json::array();
  for (const storage::StoredRecipient& recipient : message.recipients) {
    Json item;
    item["address"] = recipient.address;
    item["state"] = state_name(recipient.state);
    item["last_reply"] = recipient.last_reply;
    recipients.push_back(std::move(item));
  }
  Json object;
  object["id"] = message.summary.id.text();
  object["user"] = message.summary.user_name;
  object["sender"] = message.sender.reverse_path;
  object["recipients"] = std::move(recipients);
  object["received"] = format_timestamp(message.summary.received);
  object["next_attempt"] = format_timestamp(message.summary.next_attempt);
  object["attempts"] = message.summary.attempts;
  object["bytes"] = message.summary.bytes;
  object["held"] = message.summary.held;
  object["quarantined"] = message.summary.quarantined;
  object["last_error"] = message.last_error;
  return object;
}

std::string_view verdict_name(queue::ProbeResult::Verdict verdict) {
  switch (verdict) {
    case queue::ProbeResult::Verdict::reached:
      return "reached";
    case queue::ProbeResult::Verdict::away:
      return "away";
    case queue::ProbeResult::Verdict::faulty:
      break;
  }
  return "faulty";
}

Json probe_list(const std::vector<queue::ProbeResult>& results) {
  Json list = Json::array();
  for (const queue::ProbeResult& result : results) {
    Json item;
    item["name"] = result.name;
    item["host"] = result.host;
    item["result"] = verdict_name(result.verdict);
    item["status"] = result.status;
    item["reason"] = result.reason;
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace

std::string status_json(const StatusFacts& facts) {
  Json object;
  object["version"] = facts.version;
  object["hostname"] = facts.hostname;
  object["started"] = format_timestamp(facts.started);
  object["now"] = format_timestamp(facts.now);
  object["listeners"] = Json::array();
  for (const auto& [address, tls] : facts.listeners) {
    Json item;
    item["address"] = address;
    item["tls"] = tls;
    object["listeners"].push_back(std::move(item));
  }
  object["certificate_expires"] = format_timestamp(facts.certificate_expires);
  object["connections"] = facts.connections;
  object["queue"] = queue_figures(facts.queue);
  object["relayed"] = facts.delivery.figures.relayed;
  object["delayed"] = facts.delivery.figures.delayed;
  object["failed"] = facts.delivery.figures.failed;
  object["upstreams"] = Json::array();
  for (const auto& upstream : facts.delivery.upstreams) {
    Json item;
    item["name"] = upstream.name;
    item["host"] = upstream.host;
    item["connections"] = upstream.connections;
    item["last_error"] = upstream.last_error;
    object["upstreams"].push_back(std::move(item));
  }
  object["reload_problem"] = facts.reload_problem ? Json(*facts.reload_problem) : Json(nullptr);
  object["restart_needed"] = facts.restart_needed;
  return write_json(object);
}

std::string reload_json(const std::vector<std::string>& restart_needed) {
  Json object;
  object["reloaded"] = true;
  object["restart_needed"] = restart_needed;
  return write_json(object);
}

std::string snapshot_json(const std::string& folder) {
  Json object;
  object["folder"] = folder;
  return write_json(object);
}

std::string health_json(const queue::HealthFacts& facts) {
  Json object;
  object["listeners"] = probe_list(facts.listeners);
  object["upstreams"] = probe_list(facts.upstreams);
  return write_json(object);
}

std::string change_json(const queue::QueueChangeCount& count) {
  Json object;
  object["changed"] = count.changed;
  object["failed"] = count.failed;
  if (count.failed > 0) object["first_failure"] = count.first_failure;
  return write_json(object);
}

std::string message_json(const storage::StoredMessage& message) {
  return write_json(message_object(message));
}

std::string messages_json(std::string_view messages, std::uint64_t more) {
  return R"({"messages":[)" + std::string(messages) + R"(],"more":)" + std::to_string(more) + '}';
}

}  // namespace postern::control
