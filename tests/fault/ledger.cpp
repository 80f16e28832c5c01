// What the client was told; see ledger.hpp.
#include "tests/fault/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace postern::fault {

namespace {

constexpr std::uint64_t first_number = 1'000;

std::string describe(const MessageState& state) {
  std::string text =
      fmt::format("attempts {}{}, recipients", state.attempts, state.held ? ", held" : "");
  for (const storage::RecipientState recipient : state.recipients) {
    text += fmt::format(" {}", static_cast<int>(recipient));
  }
  return text;
}

// The first difference, in words.
std::string difference(const QueueState& wanted, const QueueState& found) {
  for (const auto& [number, state] : wanted.messages) {
    const auto there = found.messages.find(number);
    if (there == found.messages.end()) {
      return fmt::format("acknowledged message {} is lost", number);
    }
    if (there->second != state) {
      return fmt::format("message {} was recorded ({}) and is now ({})", number, describe(state),
                         describe(there->second));
    }
  }
  for (const auto& [number, state] : found.messages) {
    if (!wanted.messages.contains(number)) {
      return fmt::format("message {} is queued, which was refused or already removed", number);
    }
  }
  return "a counter differs";
}

MessageState state_of(const storage::StoredMessage& message) {
  MessageState state;
  state.recipients.clear();
  for (const auto& recipient : message.recipients) state.recipients.push_back(recipient.state);
  state.attempts = message.summary.attempts;
  state.held = message.summary.held;
  return state;
}

}  // namespace

Recipe Ledger::new_message(std::size_t body_bytes, bool spooled) {
  const std::uint64_t number = first_number + recipes_.size();
  return recipes_[number] = {number, body_bytes, spooled};
}

std::string Ledger::examine(storage::QueueStore& store) {
  const auto summaries = store.summaries(100'000, QueueId{0});
  if (!summaries) return "the queue cannot be listed: " + summaries.error().text();
  const auto counters = store.counters();
  if (!counters) return "the counters cannot be read: " + counters.error().text();

  QueueState found;
  found.counters.insert(counters->begin(), counters->end());
  for (const storage::MessageSummary& summary : *summaries) {
    const std::uint64_t number = summary.id.value;
    if (summary.quarantined) return fmt::format("message {} is quarantined", number);
    const auto message = store.load(summary.id);
    if (!message) return "a message cannot be loaded: " + message.error().text();
    if (!recipes_.contains(number)) return fmt::format("message {} was never sent", number);
    const std::string fault = mail_.examine(store, recipes_.at(number), *message);
    if (!fault.empty()) return fmt::format("message {}: {}", number, fault);
    found.messages[number] = state_of(*message);
  }
  if (std::ranges::find(possible_, found) == possible_.end()) {
    return difference(possible_.front(), found);
  }
  possible_ = {std::move(found)};
  return "";
}

}  // namespace postern::fault
