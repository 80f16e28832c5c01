// The health check's connections; see the header.
#include "relay/delivery/health_probe.hpp"

#include <algorithm>
#include <utility>

#include "relay/delivery/delivery_engine.hpp"

namespace postern::delivery {

namespace {

using Verdict = queue::ProbeResult::Verdict;

// Without the name and the password: the session then never says AUTH.
std::shared_ptr<const UpstreamSettings> without_credential(const UpstreamSettings& peer) {
  auto copy = std::make_shared<UpstreamSettings>();
  copy->name = peer.name;
  copy->host = peer.host;
  copy->port = peer.port;
  copy->tls = peer.tls;
  copy->tls_context = peer.tls_context;
  return copy;
}

// RFC 3463 §3.5: X.4.* is the network, 4.3.2 the peer's own "not now".
Verdict verdict_of(const Trouble& trouble) {
  return trouble.status.starts_with("4.4.") || trouble.status == "4.3.2" ? Verdict::away
                                                                         : Verdict::faulty;
}

}  // namespace

HealthProbe::HealthProbe(net::Loop& loop, net::Resolver& resolver, Logger& log,
                         std::string hostname, const Peers& peers,
                         Callback<std::vector<queue::ProbeResult>> done)
    : loop_(loop), done_(std::move(done)), timer_(loop) {
  for (std::size_t i = 0; i < peers.size(); ++i) {
    results_.push_back({peers[i]->name, peers[i]->host, Verdict::away, "4.4.2",
                        peers[i]->host + " did not answer in time"});
    connections_.push_back(std::make_unique<UpstreamConnection>(
        loop, resolver, log, hostname, without_credential(*peers[i]),
        UpstreamConnection::Events{
            .ready =
                [this, i] {
                  if (!done_) return;
                  results_[i].verdict = Verdict::reached;
                  results_[i].status.clear();
                  results_[i].reason.clear();
                  connections_[i]->quit();
                },
            .transaction_done = [](std::vector<smtp::RecipientResult>,
                                   std::optional<Error>) {},  // none is begun
            .ended = [this, i](const Trouble& trouble) { ended(i, trouble); },
        }));
  }
}

void HealthProbe::start() {
  open_ = connections_.size();
  timer_.start(probe_time_max, [this] { finish(); });
  for (const auto& connection : connections_) connection->start();
  if (open_ == 0) finish();
}

void HealthProbe::ended(std::size_t index, const Trouble& trouble) {
  if (!done_) return;
  queue::ProbeResult& result = results_[index];
  if (result.verdict != Verdict::reached) {
    result.verdict = verdict_of(trouble);
    result.status = trouble.status;
    result.reason = trouble.reason;
  }
  if (--open_ == 0) finish();
}

void HealthProbe::finish() {
  timer_.stop();
  if (!done_) return;
  // A connection may still be on the stack.
  static_cast<void>(
      loop_.post([done = std::exchange(done_, {}), results = std::move(results_)]() mutable {
        done(std::move(results));
      }));
}

bool DeliveryEngine::ask_health(net::Loop& home, HealthProbe::Peers own,
                                Callback<queue::HealthFacts> answer) {
  return loop_->post([this, &home, peers = std::move(own), answer = std::move(answer)]() mutable {
    if (stopping_) return;
    const auto listeners = static_cast<std::ptrdiff_t>(peers.size());
    peers.insert(peers.end(), settings_->upstreams.begin(), settings_->upstreams.end());
    const std::uint64_t number = ++last_probe_;
    auto done = [this, &home, number, listeners,
                 answer = std::move(answer)](std::vector<queue::ProbeResult> results) mutable {
      const auto middle = results.begin() + listeners;
      queue::HealthFacts facts{{results.begin(), middle}, {middle, results.end()}};
      static_cast<void>(home.post([answer = std::move(answer), facts = std::move(facts)]() mutable {
        answer(std::move(facts));
      }));
      probes_.erase(number);
    };
    const auto [place, added] = probes_.emplace(
        number, std::make_unique<HealthProbe>(*loop_, *resolver_, services_.log,
                                              settings_->hostname, peers, std::move(done)));
    place->second->start();
  });
}

}  // namespace postern::delivery
