// The sink: an upstream that takes every message over TLS after a login, counts it and forgets it.
#pragma once

#include <cstdint>
#include <string>

namespace postern::benchmark {

struct SinkSettings {
  std::uint16_t port = 0;
  std::string certificate;
  std::string private_key;
  std::string user;
  std::string password;
};

// Commands on standard input, answers on standard output, one line each:
//   expect N FILE   forgets what came before; when N different messages have arrived, writes FILE
//                   (a line each: number, nanoseconds, octets, DKIM signatures) and answers
//                   "arrived N duplicates D connections C"
//   seen            "seen N": how many have arrived so far
// Returns at the end of standard input.
void run_sink(const SinkSettings& settings);

}  // namespace postern::benchmark
