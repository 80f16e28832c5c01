// Counting connections; see the header.
#include "relay/policy/connection_limits.hpp"

#include "relay/base/assert.hpp"

namespace postern::policy {

ConnectionLimits::Verdict ConnectionLimits::opened(const AddressKey& address) {
  if (open_ >= connections_max_) return Verdict::too_many;
  const auto found = by_address_.find(address);
  const std::size_t from_address = found == by_address_.end() ? 0 : found->second;
  if (from_address >= per_address_max_) return Verdict::too_many_from_address;
  by_address_[address] = from_address + 1;
  ++open_;
  return Verdict::accepted;
}

void ConnectionLimits::closed(const AddressKey& address) {
  const auto found = by_address_.find(address);
  POSTERN_ASSERT(found != by_address_.end() && open_ > 0);
  --open_;
  if (--found->second == 0) by_address_.erase(found);
}

void ConnectionLimits::configure(std::size_t connections_max, std::size_t per_address_max) {
  connections_max_ = connections_max;
  per_address_max_ = per_address_max;
}

}  // namespace postern::policy
