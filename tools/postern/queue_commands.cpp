// The queue for people and scripts; see the header.
#include "queue_commands.hpp"

#include <fmt/format.h>

#include <utility>

#include "relay_client.hpp"

namespace postern::tools {

namespace {

Outcome<QueueId> parse_id(const std::string& text) {
  if (const auto id = QueueId::parse(text)) return *id;
  return stop(fmt::format("{} is no queue id", printable(text)),
              "`postern queue list` shows the ids there are.");
}

std::string state_of(const Json& message) {
  if (flag_at(message, "quarantined")) return "damaged";
  return flag_at(message, "held") ? "held" : "waiting";
}

std::string sender_of(const Json& message) {
  const std::string sender = text_at(message, "sender");
  return sender.empty() ? "<>" : printable(sender);
}

// When it is tried again; empty for a message that is not tried at all.
std::string next_of(const Json& message) {
  if (flag_at(message, "held") || flag_at(message, "quarantined")) return {};
  return printable(text_at(message, "next_attempt"));
}

// Three lines a message, each of at most 80 columns.
std::string list_entry(const Json& message) {
  const Json& recipients = list_at(message, "recipients");
  std::string to =
      recipients.empty() ? "nobody" : printable(text_at(recipients.front(), "address"));
  std::string more =
      recipients.size() > 1 ? fmt::format(" (+{})", recipients.size() - 1) : std::string();
  const std::string next = next_of(message);
  std::string text =
      fitted(fmt::format("{}  {:<7}  {:>9}  tries {}{}", printable(text_at(message, "id")),
                         state_of(message), human_bytes(number_at(message, "bytes")),
                         number_at(message, "attempts"), next.empty() ? "" : ", next " + next)) +
      '\n';
  text += fitted(fmt::format("    {} -> {}", sender_of(message), to),
                 columns_available() - more.size()) +
          more + '\n';
  const std::string why = text_at(message, "last_error");
  if (!why.empty()) text += fitted("    " + printable(why)) + '\n';
  return text;
}

std::string message_text(const Json& message) {
  std::string text;
  const auto line = [&](std::string_view title, const std::string& value) {
    text += fmt::format("{:<14}{}\n", title, value);
  };
  line("Message", printable(text_at(message, "id")));
  line("State", state_of(message));
  line("User", printable(text_at(message, "user")));
  line("Sender", sender_of(message));
  line("Size", human_bytes(number_at(message, "bytes")));
  line("Received", printable(text_at(message, "received")));
  line("Attempts", std::to_string(number_at(message, "attempts")));
  const std::string next = next_of(message);
  line("Next attempt", next.empty() ? "none while it is " + state_of(message) : next);
  const std::string why = text_at(message, "last_error");
  if (!why.empty()) line("Why it waits", printable(why));
  text += "Recipients\n";
  for (const Json& recipient : list_at(message, "recipients")) {
    text += fmt::format("  {:<8} {}\n", printable(text_at(recipient, "state")),
                        printable(text_at(recipient, "address")));
    const std::string reply = text_at(recipient, "last_reply");
    // Whole, not cut: this is where a person reads why.
    if (!reply.empty()) text += fmt::format("           {}\n", printable(reply));
  }
  return text;
}

std::string_view done_words(control::Verb verb) {
  switch (verb) {
    case control::Verb::queue_retry:
      return "will be tried again now";
    case control::Verb::queue_hold:
      return "held: not tried until released";
    case control::Verb::queue_release:
      return "released";
    default:
      return "removed without a report to the sender";
  }
}

}  // namespace

Outcome<> list_queue(const std::string& configuration_path) {
  auto result = ask_relay(configuration_path, {control::Verb::queue_list, std::nullopt, false});
  if (!result) return std::unexpected(result.error());
  Report report;
  report.json = list_at(*result, "messages");
  for (const Json& message : report.json) report.text += list_entry(message);
  const std::uint64_t more = number_at(*result, "more");
  if (more > 0) {
    report.warning =
        fmt::format("the queue holds {} more than a list has room for", counted(more, "message"));
  } else if (report.json.empty()) {
    report.text = "The queue is empty.\n";
  }
  return report;
}

Outcome<> show_message(const std::string& configuration_path, const std::string& id) {
  const auto parsed = parse_id(id);
  if (!parsed) return std::unexpected(parsed.error());
  auto result = ask_relay(configuration_path, {control::Verb::queue_show, *parsed, false});
  if (!result) return std::unexpected(result.error());
  Report report;
  report.text = message_text(*result);
  report.json = std::move(*result);
  return report;
}

Outcome<> change_queue(const std::string& configuration_path, control::Verb verb,
                       const std::optional<std::string>& id) {
  control::Request request{verb, std::nullopt, !id};
  if (id) {
    const auto parsed = parse_id(*id);
    if (!parsed) return std::unexpected(parsed.error());
    request.id = *parsed;
  }
  auto result = ask_relay(configuration_path, request);
  if (!result) return std::unexpected(result.error());
  Report report;
  const std::uint64_t changed = number_at(*result, "changed");
  const std::uint64_t failed = number_at(*result, "failed");
  if (changed != 0 || failed == 0) {
    report.text = fmt::format("{} {}.\n", counted(changed, "message"), done_words(verb));
  }
  if (failed != 0) {
    report.exit_code = exit_failed;
    report.warning = fmt::format("{} could not be changed: {}", counted(failed, "message"),
                                 readable_lines(text_at(*result, "first_failure")));
  }
  report.json = std::move(*result);
  return report;
}

}  // namespace postern::tools
