// The strangers of the world: devices that submit, and an upstream that takes mail or does not.
//
// Promise: both speak SMTP on octets alone and know nothing of the relay's insides; everything they
// do follows from the seed. Sharp edge: while the upstream is `moody` it defers, refuses, says
// nonsense, falls silent and hangs up; healed, it takes everything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/world/ledger.hpp"

namespace postern::world {

inline constexpr std::string_view device_address = "scan@office.example";
inline constexpr std::string_view owner_address = "it@office.example";
inline constexpr std::string_view device_user = "copier-2";
inline constexpr std::string_view device_password = "a pass phrase";

// One submission by one device over one connection, which may break at any octet.
class Device : public std::enable_shared_from_this<Device> {
 public:
  Device(SeededRandom& random, Ledger& ledger, WireHandle wire)
      : random_(random), ledger_(ledger), wire_(std::move(wire)) {}
  void begin();  // the greeting comes from the relay

 private:
  enum class Step : std::uint8_t { greeting, ehlo, login, mail, rcpt, data, dot, quit };
  void receive(std::string_view octets);
  void replied(int code);
  void say(const std::string& line) { wire_->send(End::client, line + "\r\n"); }
  void rcpt_or_data();
  void choose_content();

  SeededRandom& random_;
  Ledger& ledger_;
  WireHandle wire_;
  Step step_ = Step::greeting;
  bool tls_ = false;
  std::string unread_;
  std::string content_;
  std::uint64_t message_ = 0;
  std::size_t recipients_ = 0;
  std::size_t asked_ = 0;
  std::vector<std::size_t> accepted_;
};

class Upstream {
 public:
  Upstream(Network& network, SeededRandom& random, Ledger& ledger, const std::uint64_t& relay_lives)
      : network_(network), random_(random), ledger_(ledger), relay_lives_(relay_lives) {}
  // The relay's end is attached by the relay.
  [[nodiscard]] WireHandle connect();
  void heal() { moody_ = false; }

 private:
  struct Session {
    WireHandle wire;
    std::string unread;
    bool tls = false;
    bool logged_in = false;
    bool mail_accepted = false;
    bool in_content = false;
    bool silent = false;
    bool for_owner = false;  // reports are deferred, not refused: their refusal ends in silence
    std::vector<std::string> recipients;
    std::string content;
  };
  enum class Mood : std::uint8_t { polite, defer, refuse, silent, nonsense, hang_up };
  void receive(Session& session, std::string_view octets);
  void command(Session& session, const std::string& line);
  void content_line(Session& session, const std::string& line);
  void finish(Session& session);
  bool answer(Session& session, const std::string& polite);  // true: the polite one went out
  [[nodiscard]] Mood choose_mood(const Session& session);
  static void say(Session& session, const std::string& lines) {
    session.wire->send(End::server, lines + "\r\n");
  }

  Network& network_;
  SeededRandom& random_;
  Ledger& ledger_;
  const std::uint64_t& relay_lives_;
  bool moody_ = true;
};

}  // namespace postern::world
