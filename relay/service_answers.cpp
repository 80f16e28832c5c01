// What the running service answers an operator: reload, status and the health check.
//
// Promise: files are read and keys parsed on the pool, never on the loop that sessions ask for
// admission; a reload that is asked for while one runs reads the files again afterwards.
#include <algorithm>
#include <utility>

#include "relay/descriptors.hpp"
#include "relay/service_parts.hpp"
#include "relay/snapshots.hpp"

namespace postern {

namespace {

// Where a listener is reached from this machine: "[::]:465" listens on every address.
std::string own_host(const IpAddress& address) {
  const bool every = std::ranges::all_of(address.octets, [](auto octet) { return octet == 0; });
  if (!every) return address.text();
  return address.is_ipv6 ? "::1" : "127.0.0.1";
}

}  // namespace

void Service::Parts::reload(ReloadAnswer answer) {
  reloads_asked.push_back(std::move(answer));
  if (!reloading) begin_reload();
}

void Service::Parts::begin_reload() {
  reloading = true;
  static_cast<void>(supervisor.notify("RELOADING=1"));
  auto loaded = std::make_unique<config::LoadResult>();
  config::LoadResult* const result = loaded.get();
  loop->run_on_pool(
      [result, path = configuration_path] { *result = config::load_configuration(path); },
      [this, loaded = std::move(loaded), answers = std::exchange(reloads_asked, {})]() mutable {
        reloading = false;
        if (waiter.joinable()) return;  // a shutdown came between
        const auto taken = take(std::move(*loaded));
        static_cast<void>(supervisor.notify("READY=1"));
        for (auto& answer : answers) {
          if (answer) answer(taken);
        }
        if (!reloads_asked.empty()) begin_reload();
      });
}

// The old configuration stays in force unless the new one is whole.
Result<std::vector<std::string>> Service::Parts::take(config::LoadResult loaded) {
  if (!loaded.configuration) {
    auto refused = refuse(loaded.problems);
    return std::unexpected(std::move(refused.error()));
  }
  for (const auto& warning : loaded.warnings) {
    log.event(LogLevel::warning, "configuration-warning").field("warning", warning.text());
  }
  find_restart_needed(*loaded.configuration);
  loaded.configuration->listeners = configuration->listeners;  // what really listens
  configuration = std::move(loaded.configuration);
  prepare_descriptors(*configuration, log);
  reload_problem.reset();
  const auto policy = submission_snapshot(*configuration);
  gatekeeper->configure(policy);
  for (auto& worker : workers) worker->configure(policy);
  delivery->configure(delivery_snapshot(*configuration));
  watch_certificate();
  log.event(LogLevel::notice, "reloaded").field("users", configuration->users.size());
  return restart_needed;
}

Result<> Service::Parts::refuse(const std::vector<config::Problem>& problems) {
  std::string all;
  for (const auto& problem : problems) {
    log.event(LogLevel::error, "configuration-problem").field("problem", problem.text());
    all += (all.empty() ? "" : "\n") + problem.text();
  }
  log.event(LogLevel::error, "reload-refused")
      .field("problems", problems.size())
      .field("advice", "the old configuration stays in force; mend the file and reload again");
  reload_problem = all;
  return fail(ErrorKind::invalid, "reload the configuration",
              std::to_string(problems.size()) +
                  (problems.size() == 1 ? " problem:\n" : " problems:\n") + all);
}

// Against what the process was started with: a second reload must not forget what the first found,
// and one that takes the change back needs no restart any more.
void Service::Parts::find_restart_needed(const config::Configuration& wanted) {
  const auto same = [](const config::Listener& a, const config::Listener& b) {
    return a.address == b.address && a.implicit_tls == b.implicit_tls;
  };
  restart_needed.clear();
  if (wanted.state_directory != fixed.state_directory) restart_needed.push_back("state_directory");
  if (wanted.control_socket != fixed.control_socket) restart_needed.push_back("control_socket");
  if (!std::ranges::is_permutation(wanted.listeners, fixed.listeners, same)) {
    restart_needed.push_back("listener");
  }
  for (const auto& setting : restart_needed) {
    log.event(LogLevel::warning, "restart-needed").field("setting", setting);
  }
}

void Service::Parts::status(Callback<Result<control::StatusFacts>> answer) {
  auto kept = std::make_shared<Callback<Result<control::StatusFacts>>>(std::move(answer));
  storage::LoadFigures request;
  request.done = [this, kept](Result<storage::QueueFigures> figures) {
    static_cast<void>(loop->post([this, kept, figures = std::move(figures)]() mutable {
      if (!figures) {
        (*kept)(std::unexpected(figures.error()));
        return;
      }
      control::StatusFacts facts;
      facts.version = POSTERN_VERSION;
      facts.hostname = configuration->hostname;
      facts.started = started;
      facts.now = read_clocks().wall;
      for (const auto& listener : configuration->listeners) {
        facts.listeners.emplace_back(listener.address.text(),
                                     listener.implicit_tls ? "implicit" : "starttls");
      }
      facts.certificate_expires = configuration->tls->expires();
      facts.connections = gatekeeper->open_connections();
      facts.queue = *figures;
      facts.reload_problem = reload_problem;
      facts.restart_needed = restart_needed;
      ask_delivery_facts(std::move(facts), std::move(*kept));
    }));
  };
  if (!storage->post(std::move(request))) {
    (*kept)(fail(ErrorKind::busy, "look at the queue", "the storage thread's mailbox is full"));
  }
}

void Service::Parts::ask_delivery_facts(control::StatusFacts facts,
                                        Callback<Result<control::StatusFacts>> answer) {
  static_cast<void>(delivery->ask_facts(
      *loop, [facts = std::move(facts),
              answer = std::move(answer)](queue::DeliveryFacts delivery_facts) mutable {
        facts.delivery = std::move(delivery_facts);
        answer(std::move(facts));
      }));
}

// As a device would, but over loopback, and only the configured certificate will do.
void Service::Parts::health(Callback<Result<queue::HealthFacts>> answer) {
  const auto context = crypto::TlsClientContext::expecting(configuration->tls);
  std::vector<std::shared_ptr<const delivery::UpstreamSettings>> own;
  for (const auto& listener : configuration->listeners) {
    auto peer = std::make_shared<delivery::UpstreamSettings>();
    peer->name = listener.address.text();
    peer->host = own_host(listener.address.address);
    peer->port = listener.address.port;
    peer->tls = listener.implicit_tls ? smtp::DeliveryTls::implicit : smtp::DeliveryTls::starttls;
    peer->tls_context = context;
    own.push_back(std::move(peer));
  }
  auto kept = std::make_shared<Callback<Result<queue::HealthFacts>>>(std::move(answer));
  if (!delivery->ask_health(*loop, std::move(own),
                            [kept](queue::HealthFacts facts) { (*kept)(std::move(facts)); })) {
    (*kept)(
        fail(ErrorKind::busy, "look at the upstreams", "the delivery thread's mailbox is full"));
  }
}

}  // namespace postern
