// Trying peers for the health check: connect, verified TLS, EHLO, QUIT; once, and nothing else.
//
// Promise: no credential and no mail is ever sent; every peer has a verdict after probe_time_max at
// the latest. Connections are its own, so that a pool's waits and limits are as before. Sharp edge:
// `done` must not destroy the probe on the spot; its owner does that from a fresh stack.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "relay/base/callback.hpp"
#include "relay/delivery/upstream_connection.hpp"
#include "relay/queue/operator_view.hpp"

namespace postern::delivery {

// Longer than an address that swallows everything takes (connect_timeout); `postern health` waits a
// minute.
inline constexpr Duration probe_time_max = std::chrono::seconds(45);

class HealthProbe {
 public:
  using Peers = std::vector<std::shared_ptr<const UpstreamSettings>>;
  HealthProbe(net::Loop& loop, net::Resolver& resolver, Logger& log, std::string hostname,
              const Peers& peers, Callback<std::vector<queue::ProbeResult>> done);
  void start();

 private:
  void ended(std::size_t index, const Trouble& trouble);
  void finish();

  net::Loop& loop_;
  Callback<std::vector<queue::ProbeResult>> done_;
  std::vector<queue::ProbeResult> results_;
  std::vector<std::unique_ptr<UpstreamConnection>> connections_;
  std::size_t open_ = 0;
  net::Timer timer_;
};

}  // namespace postern::delivery
