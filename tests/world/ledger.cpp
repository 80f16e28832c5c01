// What was promised and what came; see ledger.hpp.
#include "tests/world/ledger.hpp"

#include <fmt/format.h>

namespace postern::world {

std::string Ledger::address(std::uint64_t message, std::size_t recipient) {
  return fmt::format("r{}-{}@far.example", message, recipient);
}

std::uint64_t Ledger::new_message(std::string content, std::size_t recipients) {
  const std::uint64_t number = messages_.size();
  for (std::size_t recipient = 0; recipient < recipients; ++recipient) {
    by_address_[address(number, recipient)] = {number, recipient};
  }
  messages_.push_back({std::move(content), std::vector<Recipient>(recipients)});
  return number;
}

void Ledger::answered(std::uint64_t message, std::size_t recipient, Answer answer) {
  messages_[message].recipients[recipient].answer = answer;
  if (answer == Answer::promised) ++promised;
}

Ledger::Recipient* Ledger::find(std::string_view address) {
  const auto found = by_address_.find(address);
  if (found == by_address_.end()) return nullptr;
  return &messages_[found->second.first].recipients[found->second.second];
}

void Ledger::arrived(const std::vector<std::string>& recipients, const std::string& content,
                     WireHandle wire, std::uint64_t relay_lives) {
  if (content.contains("Content-Type: multipart/report")) {
    report_arrived(content);
    return;
  }
  for (const std::string& address : recipients) arrived_at(address, content, wire, relay_lives);
}

void Ledger::arrived_at(const std::string& address, const std::string& content,
                        const WireHandle& wire, std::uint64_t relay_lives) {
  Recipient* const recipient = find(address);
  if (recipient == nullptr) {
    complain("mail arrived for " + address + ", which nobody named");
    return;
  }
  // The relay's own fields stand before the device's octets.
  if (!content.ends_with(messages_[by_address_.at(address).first].content)) {
    complain("mail arrived altered for " + address);
  }
  if (recipient->arrived) {
    ++duplicates;
    const bool known = !recipient->last_wire->broken() && recipient->last_life == relay_lives;
    if (known) complain("mail came twice for " + address + " although the relay knew better");
  } else {
    ++relayed;
  }
  if (recipient->reported) complain(address + " was reported as failed and then got the mail");
  recipient->arrived = true;
  recipient->last_wire = wire;
  recipient->last_life = relay_lives;
}

void Ledger::report_arrived(const std::string& content) {
  constexpr std::string_view field = "\r\nFinal-Recipient: rfc822; ";
  for (std::size_t at = content.find(field); at != std::string::npos;
       at = content.find(field, at + 1)) {
    const std::size_t begin = at + field.size();
    const std::string address = content.substr(begin, content.find("\r\n", begin) - begin);
    Recipient* const recipient = find(address);
    if (recipient == nullptr) {
      complain("a report names " + address + ", which nobody sent to");
      continue;
    }
    if (!recipient->reported) ++reported;
    recipient->reported = true;
  }
  if (content.contains("Status: 4.4.7")) complain("mail expired long before its lifetime was over");
}

void Ledger::close() {
  for (std::size_t number = 0; number < messages_.size(); ++number) {
    for (std::size_t index = 0; index < messages_[number].recipients.size(); ++index) {
      const Recipient& recipient = messages_[number].recipients[index];
      const std::string name = address(number, index);
      if (recipient.answer == Answer::promised && !recipient.arrived && !recipient.reported) {
        complain(name + " was promised mail: it neither came nor was reported");
      }
      if (recipient.answer == Answer::refused && (recipient.arrived || recipient.reported)) {
        complain(name + " was refused and got mail or a report");
      }
    }
  }
}

}  // namespace postern::world
