// Which message is tried next: an index over what waits, pure, with `now` as an argument.
//
// Promise: a message is handed out at most once until finished() or put_back() is called for it;
// not before it is due; held and quarantined messages never. Messages wait in lanes, one for each
// user and next hop: lanes take turns, so that a device that floods us delays nobody else, and a
// next hop has a number of slots, so that a dead or slow one holds up only its own mail. Inside a
// lane the order is due time, then id. Retry times and ages count on the monotonic clock: a wall
// clock that jumps neither starts a storm nor delays or expires anything (add() turns the stored
// wall time into a delay of at most retry_delay_max). Under 200 octets a waiting message, which a
// test measures. Sharp edge: the lane is a hint for fairness, taken when the message is added; the
// route itself is resolved afresh at every attempt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/base/queue_id.hpp"
#include "relay/queue/retry.hpp"
#include "storage/stored_message.hpp"

namespace postern::queue {

// Messages tried at once over a next hop that was given no number of its own, such as the missing
// route of a recipient that no [[route]] matches.
inline constexpr std::size_t next_hop_slots_default = 8;

class Scheduler {
 public:
  explicit Scheduler(RetrySettings settings) : settings_(settings) {}
  void set_retry(RetrySettings settings) { settings_ = settings; }
  void set_slots(std::string_view next_hop, std::size_t slots);
  // The summary's user and this next hop choose the lane. A message that is known already keeps
  // its lane and its age.
  void add(const storage::MessageSummary& summary, std::string_view next_hop, Now now);
  // Marks it as being tried and takes a slot of its next hop.
  [[nodiscard]] std::optional<QueueId> next_due(MonotonicTime now);
  // Its transactions are over, though its record may not be written: gives the slot back.
  void give_slot_back(QueueId id);
  void put_back(QueueId id, MonotonicTime due);  // waits again
  void finished(QueueId id);                     // gone from the queue
  void hold(QueueId id);  // not handed out until release(); also while being tried
  void release(QueueId id, MonotonicTime now);
  void undo_hold(QueueId id);  // as if it had not been held: due when it was due before
  void retry_now(QueueId id, MonotonicTime now);
  // When next_due may have something; slots that are taken wake nobody by time.
  [[nodiscard]] std::optional<MonotonicTime> next_wake() const;
  [[nodiscard]] std::size_t waiting() const;  // neither held nor being tried
  [[nodiscard]] bool being_tried(QueueId id) const;
  [[nodiscard]] bool held(QueueId id) const;
  [[nodiscard]] bool knows(QueueId id) const;
  // The moment that its age counts from; may lie before this process began.
  [[nodiscard]] std::optional<MonotonicTime> waiting_since(QueueId id) const;
  [[nodiscard]] std::vector<QueueId> ids() const;  // all of them, in no order

 private:
  struct Entry {
    MonotonicTime due;
    MonotonicTime waiting_since;
    std::uint32_t lane = 0;
    bool trying = false;
    bool held = false;
    bool has_slot = false;
  };
  struct NextHop {
    std::size_t slots = next_hop_slots_default;
    std::size_t slots_taken = 0;
    [[nodiscard]] bool has_room() const { return slots_taken < slots; }
  };
  struct Lane {
    NextHop* next_hop = nullptr;
    std::set<std::pair<MonotonicTime, std::uint64_t>> due;
    std::uint64_t last_turn = 0;
  };
  [[nodiscard]] NextHop& next_hop(std::string_view name);
  [[nodiscard]] std::uint32_t lane(std::string_view user, std::string_view next_hop_name);
  void link(std::uint64_t id, const Entry& entry);
  void unlink(std::uint64_t id, const Entry& entry);
  void free_slot(Entry& entry);

  RetrySettings settings_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  // Neither is ever emptied: users and upstreams are those of the configuration, and few.
  std::map<std::string, NextHop, std::less<>> next_hops_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> lane_numbers_;
  std::vector<Lane> lanes_;
  std::uint64_t turn_ = 0;
  std::size_t waiting_ = 0;
};

}  // namespace postern::queue
