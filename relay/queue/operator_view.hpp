// What a person may do to the queue and is told of it: the words that the control socket and
// delivery share, because siblings do not include each other.
//
// Promise: plain values. Sharp edge: figures count recipients, not messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace postern::queue {

enum class QueueChange { retry, hold, release, remove };

// What became of a change; answered when all of it is durable.
struct QueueChangeCount {
  std::size_t changed = 0;
  std::size_t failed = 0;     // of all the messages asked for; those it does not apply to are none
  std::string first_failure;  // why, of the first of them; empty without failures
};

struct AttemptFigures {  // recipients
  std::uint64_t relayed = 0;
  std::uint64_t delayed = 0;
  std::uint64_t failed = 0;
};

struct DeliveryFacts {
  AttemptFigures figures;  // since start
  struct Upstream {
    std::string name;
    std::string host;
    std::size_t connections = 0;
    std::string last_error;  // empty: none since the last success
  };
  std::vector<Upstream> upstreams;
};

// One peer that was tried for the health check: connected to, TLS verified, greeted, left by QUIT.
struct ProbeResult {
  enum class Verdict {
    reached,
    away,   // no answer, or "not now" by its own word: the network's or the peer's matter
    faulty  // TLS, its certificate or its SMTP is not what it must be
  };
  std::string name;  // the upstream's, or a listener's address
  std::string host;
  Verdict verdict = Verdict::away;
  std::string status;  // enhanced status code of the trouble; empty when reached
  std::string reason;  // a sentence; empty when reached
};

struct HealthFacts {
  std::vector<ProbeResult> listeners;  // our own, over loopback
  std::vector<ProbeResult> upstreams;
};

}  // namespace postern::queue
