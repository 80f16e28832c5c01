// Counting connections; see the header.
#include "relay/policy/connection_limits.hpp"

#include "relay/base/assert.hpp"
#include "relay/policy/address_key.hpp"

namespace postern::policy {

ConnectionLimits::Verdict ConnectionLimits::opened(const IpAddress& address) {
  if (open_ >= connections_max_) return Verdict::too_many;
  const IpAddress key = address_key(address);
  const auto found = by_address_.find(key);
  const std::size_t from_address = found == by_address_.end() ? 0 : found->second;
  if (from_address >= per_address_max_) return Verdict::too_many_from_address;
  by_address_[key] = from_address + 1;
  ++open_;
  return Verdict::accepted;
}

void ConnectionLimits::closed(const IpAddress& address) {
  const auto found = by_address_.find(address_key(address));
  POSTERN_ASSERT(found != by_address_.end() && open_ > 0);
  --open_;
  if (--found->second == 0) by_address_.erase(found);
}

void ConnectionLimits::configure(std::size_t connections_max, std::size_t per_address_max) {
  connections_max_ = connections_max;
  per_address_max_ = per_address_max;
}

}  // namespace postern::policy
