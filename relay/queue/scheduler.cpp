// The index of waiting messages: one map by id, one set by due time.
//
// Promise: an id stands in `due_` exactly when it is neither being tried nor held; every function
// keeps that by unlinking before and linking after it changes an entry. An id that is not known (a
// person removed the message meanwhile) is ignored everywhere, because answers from other threads
// come late. Sharp edge: quarantined messages are not taken in at all, so nothing can release them
// by accident.
#include "relay/queue/scheduler.hpp"

#include <algorithm>

namespace postern::queue {
namespace {

// What is left of a stored wall time: nothing when it has passed, never more than `delay_max`.
Duration delay_until(WallTime then, WallTime now, Duration delay_max) {
  if (then <= now) return Duration::zero();
  // A damaged row may hold any number: the unsigned difference always fits.
  const auto delay = static_cast<std::uint64_t>(then.time_since_epoch().count()) -
                     static_cast<std::uint64_t>(now.time_since_epoch().count());
  const Duration bound = std::max(delay_max, Duration::zero());
  if (delay > static_cast<std::uint64_t>(bound.count())) return bound;
  return Duration(static_cast<Duration::rep>(delay));
}

}  // namespace

void Scheduler::add(const storage::MessageSummary& summary, Now now) {
  if (summary.quarantined) return;
  const auto [found, is_new] = entries_.try_emplace(summary.id.value);
  Entry& entry = found->second;
  if (!is_new && !entry.trying && !entry.held) due_.erase({entry.due, summary.id.value});
  entry.due =
      now.monotonic + delay_until(summary.next_attempt, now.wall, settings_.retry_delay_max);
  entry.held = summary.held;
  if (!entry.trying && !entry.held) due_.insert({entry.due, summary.id.value});
}

void Scheduler::add_due(QueueId id, MonotonicTime now) {
  const auto [found, is_new] = entries_.try_emplace(id.value);
  if (!is_new) return;
  found->second.due = now;
  due_.insert({now, id.value});
}

std::optional<QueueId> Scheduler::next_due(MonotonicTime now) {
  if (due_.empty() || due_.begin()->first > now) return std::nullopt;
  const std::uint64_t id = due_.begin()->second;
  due_.erase(due_.begin());
  entries_.find(id)->second.trying = true;
  return QueueId{id};
}

void Scheduler::put_back(QueueId id, MonotonicTime due) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (!entry.trying && !entry.held) due_.erase({entry.due, id.value});
  entry.trying = false;
  entry.due = due;
  if (!entry.held) due_.insert({due, id.value});
}

void Scheduler::finished(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  due_.erase({found->second.due, id.value});
  entries_.erase(found);
}

void Scheduler::hold(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  due_.erase({found->second.due, id.value});
  found->second.held = true;
}

void Scheduler::release(QueueId id, MonotonicTime now) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end() || !found->second.held) return;
  Entry& entry = found->second;
  entry.held = false;
  if (entry.trying) return;
  entry.due = std::min(entry.due, now);
  due_.insert({entry.due, id.value});
}

void Scheduler::retry_now(QueueId id, MonotonicTime now) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end() || found->second.trying || found->second.held) return;
  Entry& entry = found->second;
  due_.erase({entry.due, id.value});
  entry.due = std::min(entry.due, now);
  due_.insert({entry.due, id.value});
}

std::optional<MonotonicTime> Scheduler::next_wake() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

// Those that will be handed out without a person's help; held ones and those being tried are not
// among them.
std::size_t Scheduler::waiting() const { return due_.size(); }

bool Scheduler::being_tried(QueueId id) const {
  const auto found = entries_.find(id.value);
  return found != entries_.end() && found->second.trying;
}

bool Scheduler::knows(QueueId id) const { return entries_.contains(id.value); }

std::vector<QueueId> Scheduler::ids() const {
  std::vector<QueueId> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(QueueId{id});
  return ids;
}

}  // namespace postern::queue
