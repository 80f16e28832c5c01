// Counts failed logins by address: first slower answers, then a lock.
//
// Promise: no entry of the user directory plays a part, so known and unknown users look the same
// from outside. Sharp edge: a failure while the address is locked (a check that was under way)
// counts but does not lengthen the lock; ten connections at once would otherwise buy ten doublings.
#include "relay/policy/login_guard.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "relay/base/assert.hpp"

namespace postern::policy {
namespace {

constexpr Duration answer_delay_min = std::chrono::seconds(1);
constexpr std::uint32_t answer_delay_doublings_max = 3;  // 8 s: longer holds our own memory longer
constexpr Duration lock_min = std::chrono::minutes(1);
constexpr Duration lock_max = std::chrono::hours(1);
constexpr std::uint32_t lock_doublings_max = 6;  // 64 minutes, cut to lock_max

void count_up(std::uint32_t& counter) {
  if (counter < std::numeric_limits<std::uint32_t>::max()) ++counter;
}

}  // namespace

LoginGuard::LoginGuard(std::uint32_t failures_max, std::size_t addresses_max)
    : failures_max_(failures_max), addresses_max_(addresses_max) {
  POSTERN_ASSERT(addresses_max > 0);
}

bool LoginGuard::locked(const AddressKey& address, MonotonicTime now) const {
  const auto found = entries_.find(address);
  return found != entries_.end() && found->second.locks > 0 && now < found->second.locked_until;
}

Duration LoginGuard::failed(const AddressKey& address, std::string_view user_name,
                            MonotonicTime now) {
  if (!entries_.contains(address) && entries_.size() >= addresses_max_) make_room(now);
  Entry& entry = entries_[address];
  if (entry.failures > 0 && now - entry.last >= failures_kept) entry = {};
  count_up(entry.failures);
  entry.last = now;
  if (const auto found = entry.by_user_name.find(user_name); found != entry.by_user_name.end()) {
    count_up(found->second);
  } else if (entry.by_user_name.size() < user_names_max) {
    entry.by_user_name.emplace(user_name, 1);
  }
  const bool locked_now = entry.locks > 0 && now < entry.locked_until;
  if (entry.failures >= failures_max_ && !locked_now) {
    const std::uint32_t doublings = std::min(entry.locks, lock_doublings_max);
    entry.locked_until = now + std::min(lock_max, lock_min * (1U << doublings));
    count_up(entry.locks);
  }
  return answer_delay_min * (1U << std::min(entry.failures - 1, answer_delay_doublings_max));
}

void LoginGuard::make_room(MonotonicTime now) {
  const auto is_locked = [now](const Entry& entry) {
    return entry.locks > 0 && now < entry.locked_until;
  };
  // The oldest that is not locked; only when every one is locked, the oldest of those.
  const auto victim = std::ranges::min_element(entries_, [&](const auto& a, const auto& b) {
    return std::pair(is_locked(a.second), a.second.last) <
           std::pair(is_locked(b.second), b.second.last);
  });
  entries_.erase(victim);
}

void LoginGuard::succeeded(const AddressKey& address, std::string_view user_name) {
  const auto entry = entries_.find(address);
  if (entry == entries_.end()) return;
  const auto found = entry->second.by_user_name.find(user_name);
  if (found == entry->second.by_user_name.end()) return;
  // Both counters stop at their maximum, so a name's share is never more than the whole.
  entry->second.failures -= found->second;
  entry->second.by_user_name.erase(found);
  if (entry->second.failures == 0) entries_.erase(entry);
}

}  // namespace postern::policy
