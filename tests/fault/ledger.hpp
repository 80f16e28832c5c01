// What the client was told, and so what the queue must hold.
//
// Promise: the queue has to be exactly one of the states in possible(): that after the last commit
// that succeeded, or, when the outcome of one commit is unknown (its answer was a failure that
// killed the store, or the power went meanwhile), also that with the commit done. RFC 5321 section
// 4.2.5: only after our 250 do we answer for the message; a client that got none sends it again, so
// both outcomes are right, but each as a whole. Exactly: no acknowledged message less, no refused
// message more, no recorded outcome undone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/fault/mail.hpp"

namespace postern::fault {

struct MessageState {
  std::vector<storage::RecipientState> recipients =
      std::vector(recipients_each, storage::RecipientState::waiting);
  std::uint32_t attempts = 0;
  bool held = false;
  bool operator==(const MessageState&) const = default;
};

struct QueueState {
  std::map<std::uint64_t, MessageState> messages;
  std::map<std::string, std::string> counters;
  bool operator==(const QueueState&) const = default;
};

class Ledger {
 public:
  [[nodiscard]] const QueueState& certain() const { return possible_.front(); }
  void committed(QueueState state) { possible_ = {std::move(state)}; }
  // Any of these may be what the disk holds; the first is what was acknowledged.
  void unknown(std::vector<QueueState> states) { possible_ = std::move(states); }

  [[nodiscard]] Recipe new_message(std::size_t body_bytes, bool spooled);
  [[nodiscard]] const Mail& mail() const { return mail_; }
  [[nodiscard]] const Recipe& recipe(std::uint64_t number) const { return recipes_.at(number); }

  // Compares the queue with what it may be, settles which it is, and opens every message. What is
  // wrong, or nothing.
  [[nodiscard]] std::string examine(storage::QueueStore& store);

 private:
  Mail mail_;
  std::map<std::uint64_t, Recipe> recipes_;  // of all that were ever tried
  std::vector<QueueState> possible_ = {QueueState{}};
};

}  // namespace postern::fault
