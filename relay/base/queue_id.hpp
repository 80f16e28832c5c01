// The name of a message in the queue, in replies, logs, Received fields and the operator's command.
//
// Promise: 64 bits, unique in practice (milliseconds since 1970 and 22 random bits; a clash is
// refused by the store's primary key, the client gets a 451 and tries again). Written as 13
// characters of Crockford's base 32, which has no look-alikes and sorts by time.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relay/base/clock.hpp"

namespace postern {

struct QueueId {
  std::uint64_t value = 0;
  auto operator<=>(const QueueId&) const = default;

  [[nodiscard]] static QueueId make(WallTime now, std::uint32_t random);
  [[nodiscard]] static std::optional<QueueId> parse(std::string_view text);  // any case
  [[nodiscard]] std::string text() const;
};

}  // namespace postern
