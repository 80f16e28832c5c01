// A connection between two parties of the world: octets arrive later, in pieces, in their order.
//
// Promise: what one end sent arrives whole and in order until the connection breaks; a break, after
// any octet that the seed chose, is told to both ends once. TLS is taken for granted: the octets
// are those inside it.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fault/seeded_random.hpp"
#include "tests/world/timeline.hpp"

namespace postern::world {

using fault::SeededRandom;

enum class End : std::uint8_t { client, server };
[[nodiscard]] constexpr End other(End end) {
  return end == End::client ? End::server : End::client;
}

class Wire : public std::enable_shared_from_this<Wire> {
 public:
  struct Party {
    std::function<void(std::string_view)> receive;
    std::function<void()> lost;  // closed by the other end, or broken
  };
  Wire(Timeline& timeline, SeededRandom& random) : timeline_(&timeline), random_(&random) {}

  void attach(End end, Party party) { side(end).party = std::move(party); }
  // The connection breaks when so many octets of this end have arrived.
  void break_after(End from, std::uint64_t octets) { side(from).break_after = octets; }

  void send(End from, std::string_view octets) {
    while (!octets.empty() && !over_) {
      const std::size_t most = random_->one_in(3) ? 40 : 20'000;
      const std::size_t bytes = std::min<std::size_t>(octets.size(), random_->between(1, most));
      later(from,
            [this, from, piece = std::string(octets.substr(0, bytes))] { arrive(from, piece); });
      octets.remove_prefix(bytes);
    }
  }
  // The polite end: what was sent arrives first.
  void close(End from) {
    if (over_) return;
    later(from, [this, from] {
      if (over_) return;
      over_ = true;
      leave(other(from));
    });
  }
  // At once, and nothing on its way arrives.
  void cut() {
    if (over_) return;
    over_ = broken_ = true;
    leave(End::client);
    leave(End::server);
  }
  // One of the ends is gone with its process; the other hears of it.
  void abandon(End gone) {
    side(gone).party = {};
    cut();
  }
  void forget() {
    over_ = true;
    sides_ = {};
  }
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  struct Side {
    Party party;
    MonotonicTime busy_until{};
    std::uint64_t arrived = 0;
    std::optional<std::uint64_t> break_after;
  };
  Side& side(End end) { return sides_[static_cast<std::size_t>(end)]; }

  template <class Event>
  void later(End from, Event event) {
    Side& sender = side(from);
    const MonotonicTime at = timeline_->monotonic() + Duration(random_->between(0, 20));
    sender.busy_until = std::max(at, sender.busy_until);
    timeline_->after(sender.busy_until - timeline_->monotonic(),
                     [self = shared_from_this(), event] { event(); });
  }

  void arrive(End from, const std::string& piece) {
    if (over_) return;
    Side& sender = side(from);
    std::string_view octets = piece;
    bool breaks = false;
    if (sender.break_after && sender.arrived + octets.size() >= *sender.break_after) {
      octets = octets.substr(0, *sender.break_after - sender.arrived);
      breaks = true;
    }
    sender.arrived += octets.size();
    // A copy: the receiver may close the wire and with it forget its functions.
    const auto receive = side(other(from)).party.receive;
    if (receive && !octets.empty()) receive(octets);
    if (breaks) cut();
  }

  void leave(End end) {
    const auto lost = std::exchange(side(end).party, {}).lost;
    if (lost) lost();
  }

  Timeline* timeline_;
  SeededRandom* random_;
  std::array<Side, 2> sides_;
  bool over_ = false;
  bool broken_ = false;
};

using WireHandle = std::shared_ptr<Wire>;

// All connections of a world; with it they forget their parties, which hold them in turn.
class Network {
 public:
  Network(Timeline& timeline, SeededRandom& random) : timeline_(timeline), random_(random) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network() {
    for (const auto& wire : wires_) {
      if (const WireHandle open = wire.lock()) open->forget();
    }
  }
  [[nodiscard]] WireHandle make_wire() {
    auto wire = std::make_shared<Wire>(timeline_, random_);
    wires_.push_back(wire);
    return wire;
  }

 private:
  Timeline& timeline_;
  SeededRandom& random_;
  std::vector<std::weak_ptr<Wire>> wires_;
};

}  // namespace postern::world
