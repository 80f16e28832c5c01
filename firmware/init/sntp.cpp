// SNTP messages; see the header.
#include "firmware/init/sntp.hpp"

namespace postern::firmware {

namespace {

// RFC 4330 section 4.
constexpr std::uint8_t version = 4, mode_client = 3, mode_server = 4, not_synchronised = 3;
constexpr std::uint8_t stratum_max = 15;  // 0 is a kiss of death (section 8), 16 not synchronised
constexpr std::size_t stratum_at = 1, originate_at = 24, transmit_at = 40;
constexpr std::int64_t from_1900_to_1970 = 2'208'988'800;
constexpr std::int64_t era_seconds = 1LL << 32;                // section 3
constexpr std::int64_t seconds_ahead_max = 10LL * 31'556'952;  // no image is used for longer

std::uint64_t number_at(std::span<const std::uint8_t> message, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = (number << 8) | message[at + i];
  return number;
}

}  // namespace

std::array<std::uint8_t, sntp_bytes> sntp_request(std::uint64_t number) {
  std::array<std::uint8_t, sntp_bytes> message{};
  message[0] = version << 3 | mode_client;
  for (std::size_t i = 0; i < 8; ++i)
    message[transmit_at + i] = static_cast<std::uint8_t>(number >> (56 - 8 * i));
  return message;
}

std::optional<SntpTime> read_sntp_reply(std::span<const std::uint8_t> message, std::uint64_t number,
                                        std::int64_t built) {
  if (message.size() < sntp_bytes) return std::nullopt;
  const std::uint8_t stratum = message[stratum_at];
  if ((message[0] & 7) != mode_server || message[0] >> 6 == not_synchronised || stratum == 0 ||
      stratum > stratum_max || number_at(message, originate_at) != number) {
    return std::nullopt;
  }
  const std::uint64_t sent = number_at(message, transmit_at);
  if (sent == 0) return std::nullopt;
  SntpTime time;
  time.seconds = static_cast<std::int64_t>(sent >> 32) - from_1900_to_1970;
  while (time.seconds < built - era_seconds / 2) time.seconds += era_seconds;
  time.microseconds = static_cast<std::uint32_t>(((sent & 0xFFFFFFFF) * 1'000'000) >> 32);
  if (time.seconds < built || time.seconds > built + seconds_ahead_max) return std::nullopt;
  return time;
}

}  // namespace postern::firmware
