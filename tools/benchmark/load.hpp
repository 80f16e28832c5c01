// The load source: devices that submit numbered messages over verified TLS, as fast as they are
// let.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::benchmark {

// The header field by which the sink knows a message again.
inline constexpr std::string_view number_field = "X-Bench-Number:";

enum class LoadMode {
  kept,  // every connection sends message after message
  one,   // a connection, a whole handshake and a login for each message
  idle,  // connections log in and wait for the end of standard input
};

struct LoadSettings {
  std::uint16_t port = 0;
  std::string roots;
  std::string user;
  std::string password;
  std::string sender;
  std::string recipient;
  LoadMode mode = LoadMode::kept;
  std::size_t connections = 1;
  std::size_t messages = 1;
  std::size_t message_bytes = 10'240;
  std::string report;  // a file: "begun NANOSECONDS", then a line a message: number, MAIL, 250
};

// Returns when every message has got its 250; anything else ends the program with a sentence.
// Commands wait for their replies, as devices do it: no pipelining.
void run_load(const LoadSettings& settings);

}  // namespace postern::benchmark
