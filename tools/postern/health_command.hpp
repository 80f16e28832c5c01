// `postern health`: whether the running relay does what it is for. The appliance keeps an update by
// it.
//
// Promise: healthy (exit code 0) is a relay whose every listener answers a TLS handshake with the
// configured certificate, and whose upstreams are reached, or are away for a reason of the network.
// An upstream whose TLS, certificate or SMTP is at fault makes it unhealthy, unless the same fault
// was noted before (`note` under the old version, `known` under the new one): then it is not the
// update's. No mail is touched and no credential sent.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"

namespace postern::tools {

struct HealthOrder {
  std::optional<std::string> note;   // a file for the faults of upstreams that are there now
  std::optional<std::string> known;  // such a file from before
};
[[nodiscard]] Outcome<> check_health(const std::string& configuration_path,
                                     const HealthOrder& order);

}  // namespace postern::tools
