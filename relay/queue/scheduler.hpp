// Which message is tried next: an index over what waits, pure, with `now` as an argument.
//
// Promise: a message is handed out at most once until finished() or put_back() is called for it;
// not before it is due; held and quarantined messages never. Retry times count on the monotonic
// clock: a wall clock that jumps neither starts a storm nor delays anything (add() turns the stored
// wall time into a delay of at most retry_delay_max). Order: due time, then id. About 64 octets a
// waiting message. Sharp edge: fairness between destinations is the driver's: it gives a message
// back when its next hop has no free connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/base/queue_id.hpp"
#include "relay/queue/retry.hpp"
#include "storage/stored_message.hpp"

namespace postern::queue {

class Scheduler {
 public:
  explicit Scheduler(RetrySettings settings) : settings_(settings) {}
  void set_retry(RetrySettings settings) { settings_ = settings; }
  void add(const storage::MessageSummary& summary, Now now);
  void add_due(QueueId id, MonotonicTime now);                       // a new message: now
  [[nodiscard]] std::optional<QueueId> next_due(MonotonicTime now);  // marks it as being tried
  void put_back(QueueId id, MonotonicTime due);                      // waits again
  void finished(QueueId id);                                         // gone from the queue
  void hold(QueueId id);  // not handed out until release(); also while being tried
  void release(QueueId id, MonotonicTime now);
  void retry_now(QueueId id, MonotonicTime now);
  [[nodiscard]] std::optional<MonotonicTime> next_wake() const;  // when next_due may have something
  [[nodiscard]] std::size_t waiting() const;                     // neither held nor being tried
  [[nodiscard]] bool being_tried(QueueId id) const;
  [[nodiscard]] bool knows(QueueId id) const;
  [[nodiscard]] std::vector<QueueId> ids() const;  // all of them, in no order

 private:
  struct Entry {
    MonotonicTime due;
    bool trying = false;
    bool held = false;
  };
  RetrySettings settings_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::set<std::pair<MonotonicTime, std::uint64_t>> due_;
};

}  // namespace postern::queue
