// The index of waiting messages: one map by id, and for each lane one set by due time.
//
// Promise: an id stands in its lane's set exactly when it is neither being tried nor held; every
// function keeps that by unlinking before and linking after it changes an entry. An id that is not
// known (a person removed the message meanwhile) is ignored everywhere, because answers from other
// threads come late. Sharp edge: quarantined messages are not taken in at all, so nothing can
// release them by accident.
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

void Scheduler::set_slots(std::string_view name, std::size_t slots) {
  next_hop(name).slots = std::max<std::size_t>(slots, 1);
}

Scheduler::NextHop& Scheduler::next_hop(std::string_view name) {
  const auto found = next_hops_.find(name);
  return found != next_hops_.end() ? found->second
                                   : next_hops_.emplace(name, NextHop{}).first->second;
}

std::uint32_t Scheduler::lane(std::string_view user, std::string_view next_hop_name) {
  const auto [found, is_new] = lane_numbers_.try_emplace(
      {std::string(user), std::string(next_hop_name)}, static_cast<std::uint32_t>(lanes_.size()));
  if (is_new) lanes_.push_back({.next_hop = &next_hop(next_hop_name), .due = {}});
  return found->second;
}

void Scheduler::link(std::uint64_t id, const Entry& entry) {
  if (entry.trying || entry.held) return;
  waiting_ += lanes_[entry.lane].due.insert({entry.due, id}).second ? 1 : 0;
}

void Scheduler::unlink(std::uint64_t id, const Entry& entry) {
  if (entry.trying || entry.held) return;
  waiting_ -= lanes_[entry.lane].due.erase({entry.due, id});
}

void Scheduler::free_slot(Entry& entry) {
  if (std::exchange(entry.has_slot, false)) --lanes_[entry.lane].next_hop->slots_taken;
}

void Scheduler::add(const storage::MessageSummary& summary, std::string_view next_hop_name,
                    Now now) {
  if (summary.quarantined) return;
  const std::uint64_t id = summary.id.value;
  const auto [found, is_new] = entries_.try_emplace(id);
  Entry& entry = found->second;
  if (is_new) {
    entry.lane = lane(summary.user_name, next_hop_name);
    entry.waiting_since = now.monotonic - std::max(summary.waited, Duration::zero());
  } else {
    unlink(id, entry);
  }
  entry.due =
      now.monotonic + delay_until(summary.next_attempt, now.wall, settings_.retry_delay_max);
  entry.held = summary.held;
  link(id, entry);
}

// The lane that has not had its turn for longest, of those with something due and room on the way.
std::optional<QueueId> Scheduler::next_due(MonotonicTime now) {
  Lane* next = nullptr;
  for (Lane& candidate : lanes_) {
    if (candidate.due.empty() || candidate.due.begin()->first > now) continue;
    if (!candidate.next_hop->has_room()) continue;
    if (next == nullptr || candidate.last_turn < next->last_turn) next = &candidate;
  }
  if (next == nullptr) return std::nullopt;
  next->last_turn = ++turn_;
  const std::uint64_t id = next->due.begin()->second;
  Entry& entry = entries_.find(id)->second;
  unlink(id, entry);
  entry.trying = true;
  entry.has_slot = true;
  ++next->next_hop->slots_taken;
  return QueueId{id};
}

void Scheduler::give_slot_back(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found != entries_.end()) free_slot(found->second);
}

void Scheduler::put_back(QueueId id, MonotonicTime due) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  unlink(id.value, entry);
  free_slot(entry);
  entry.trying = false;
  entry.due = due;
  link(id.value, entry);
}

void Scheduler::finished(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  unlink(id.value, found->second);
  free_slot(found->second);
  entries_.erase(found);
}

void Scheduler::hold(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end()) return;
  unlink(id.value, found->second);
  found->second.held = true;
}

void Scheduler::release(QueueId id, MonotonicTime now) {
  if (!held(id)) return;
  undo_hold(id);
  retry_now(id, now);
}

void Scheduler::undo_hold(QueueId id) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end() || !found->second.held) return;
  found->second.held = false;
  link(id.value, found->second);
}

void Scheduler::retry_now(QueueId id, MonotonicTime now) {
  const auto found = entries_.find(id.value);
  if (found == entries_.end() || found->second.trying || found->second.held) return;
  Entry& entry = found->second;
  unlink(id.value, entry);
  entry.due = std::min(entry.due, now);
  link(id.value, entry);
}

std::optional<MonotonicTime> Scheduler::next_wake() const {
  std::optional<MonotonicTime> earliest;
  for (const Lane& candidate : lanes_) {
    if (candidate.due.empty() || !candidate.next_hop->has_room()) continue;
    const MonotonicTime due = candidate.due.begin()->first;
    if (!earliest || due < *earliest) earliest = due;
  }
  return earliest;
}

// Those that will be handed out without a person's help; held ones and those being tried are not
// among them.
std::size_t Scheduler::waiting() const { return waiting_; }

bool Scheduler::being_tried(QueueId id) const {
  const auto found = entries_.find(id.value);
  return found != entries_.end() && found->second.trying;
}

bool Scheduler::held(QueueId id) const {
  const auto found = entries_.find(id.value);
  return found != entries_.end() && found->second.held;
}

bool Scheduler::knows(QueueId id) const { return entries_.contains(id.value); }

std::optional<MonotonicTime> Scheduler::waiting_since(QueueId id) const {
  const auto found = entries_.find(id.value);
  return found == entries_.end() ? std::nullopt : std::optional(found->second.waiting_since);
}

std::vector<QueueId> Scheduler::ids() const {
  std::vector<QueueId> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(QueueId{id});
  return ids;
}

}  // namespace postern::queue
