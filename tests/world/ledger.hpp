// What was promised to the devices of the world, and what came of it.
//
// Promise (RFC 5321 section 4.2.5): each recipient of a message that was answered 250 gets its
// exact octets or is named in a report that was delivered; whoever was refused gets nothing; a
// message comes twice only where the relay could not know that it had come. The first violation is
// kept.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/world/wire.hpp"

namespace postern::world {

class Ledger {
 public:
  enum class Answer : std::uint8_t { unknown, promised, refused };

  // A message to so many recipients, named by their addresses.
  [[nodiscard]] std::uint64_t new_message(std::string content, std::size_t recipients);
  [[nodiscard]] static std::string address(std::uint64_t message, std::size_t recipient);
  void answered(std::uint64_t message, std::size_t recipient, Answer answer);

  // The upstream said 250 to the final dot; `relay_lives` counts the relay's deaths so far.
  void arrived(const std::vector<std::string>& recipients, const std::string& content,
               WireHandle wire, std::uint64_t relay_lives);
  // When everything came to rest.
  void close();
  void complain(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }
  [[nodiscard]] const std::string& violation() const { return violation_; }

  std::uint64_t promised = 0;
  std::uint64_t relayed = 0;
  std::uint64_t reported = 0;
  std::uint64_t duplicates = 0;

 private:
  struct Recipient {
    Answer answer = Answer::unknown;
    bool arrived = false;
    bool reported = false;
    WireHandle last_wire;
    std::uint64_t last_life = 0;
  };
  struct Message {
    std::string content;
    std::vector<Recipient> recipients;
  };
  void report_arrived(const std::string& content);
  void arrived_at(const std::string& address, const std::string& content, const WireHandle& wire,
                  std::uint64_t relay_lives);
  Recipient* find(std::string_view address);

  std::vector<Message> messages_;
  std::map<std::string, std::pair<std::size_t, std::size_t>, std::less<>> by_address_;
  std::string violation_;
};

}  // namespace postern::world
