// The time of day from a server (SNTP, RFC 4330; the packet is NTP's, RFC 5905 section 7.3): the
// messages only; time_client.cpp sends them.
//
// Promise: an answer is taken only when it repeats the random number of our request, comes from a
// server that says it is synchronised, and lies between the image's date and ten years after it.
// Sharp edge: SNTP is not authenticated: whoever sits on the wire can move the clock within these
// bounds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace postern::firmware {

inline constexpr std::size_t sntp_bytes = 48;

// `number`: random; it stands where our time would, which nobody needs to know.
[[nodiscard]] std::array<std::uint8_t, sntp_bytes> sntp_request(std::uint64_t number);

struct SntpTime {
  std::int64_t seconds = 0;  // since 1970
  std::uint32_t microseconds = 0;
};
// `built`: the image's date, seconds since 1970; it also tells which of NTP's eras is meant.
[[nodiscard]] std::optional<SntpTime> read_sntp_reply(std::span<const std::uint8_t> message,
                                                      std::uint64_t number, std::int64_t built);

}  // namespace postern::firmware
