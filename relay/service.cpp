// Putting the parts together and taking them apart.
#include "relay/service.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "crypto/sealed_body.hpp"
#include "relay/control/control_service.hpp"
#include "relay/delivery/delivery_engine.hpp"
#include "relay/net/handed_over_sockets.hpp"
#include "relay/net/loop.hpp"
#include "relay/snapshots.hpp"
#include "relay/submission/gatekeeper.hpp"
#include "relay/submission/submission_worker.hpp"
#include "storage/storage_thread.hpp"

namespace postern {
namespace {

constexpr std::size_t workers_max = 4;  // relay/README.md, "Threads"

}  // namespace

// Declared in the order of life; destroyed in the reverse.
struct Service::Parts {
  Parts(std::string path, std::unique_ptr<config::Configuration> checked, Logger& logger)
      : configuration_path(std::move(path)), configuration(std::move(checked)), log(logger) {}

  std::string configuration_path;
  std::unique_ptr<config::Configuration> configuration;
  Logger& log;
  WallTime started = read_clocks().wall;
  std::optional<std::string> reload_problem;
  bool store_dead = false;

  std::unique_ptr<net::Loop> loop;
  std::optional<crypto::QueueKey> queue_key;
  std::unique_ptr<storage::StorageThread> storage;
  std::unique_ptr<submission::Gatekeeper> gatekeeper;
  std::unique_ptr<delivery::DeliveryEngine> delivery;
  std::optional<submission::SubmissionServices> submission_services;
  std::vector<std::unique_ptr<submission::SubmissionWorker>> workers;
  std::unique_ptr<control::ControlService> control;
  std::vector<std::unique_ptr<net::SignalWatcher>> signals;
  std::thread waiter;

  Result<> open_storage();
  void restore_counters();
  Result<> open_listeners();
  Result<> open_control();
  void watch_signals();
  Result<> reload();
  void status(Callback<control::StatusFacts> answer);
  void change(control::Verb verb, std::optional<QueueId> id, Callback<Result<std::size_t>> answer);
  void begin_shutdown();
};

Service::Service() = default;
Service::~Service() = default;

Result<std::unique_ptr<Service>> Service::create(
    std::string configuration_path, std::unique_ptr<config::Configuration> configuration,
    Logger& log) {
  std::unique_ptr<Service> service(new Service());
  service->parts_ =
      std::make_unique<Parts>(std::move(configuration_path), std::move(configuration), log);
  Parts& parts = *service->parts_;
  auto loop = net::Loop::create();
  if (!loop) return std::unexpected(loop.error());
  parts.loop = std::move(*loop);
  if (auto opened = parts.open_storage(); !opened) return std::unexpected(opened.error());
  parts.gatekeeper = std::make_unique<submission::Gatekeeper>(
      *parts.loop, *parts.storage, log, submission_snapshot(*parts.configuration));
  parts.restore_counters();
  auto delivery = delivery::DeliveryEngine::create({*parts.storage, *parts.queue_key, log},
                                                   delivery_snapshot(*parts.configuration));
  if (!delivery) return std::unexpected(delivery.error());
  parts.delivery = std::move(*delivery);
  parts.submission_services.emplace(submission::SubmissionServices{
      *parts.storage, *parts.queue_key, log, [&parts](storage::MessageSummary summary) {
        parts.delivery->message_queued(std::move(summary));
      }});
  if (auto opened = parts.open_listeners(); !opened) return std::unexpected(opened.error());
  if (auto opened = parts.open_control(); !opened) return std::unexpected(opened.error());
  parts.watch_signals();
  return service;
}

Result<> Service::Parts::open_storage() {
  auto store = storage::QueueStore::open(configuration->state_directory);
  if (!store) return std::unexpected(store.error());
  const auto& report = (*store)->open_report();
  if (report.swept_files > 0) {
    log.event(LogLevel::info, "spool-swept").field("files", report.swept_files);
  }
  for (const QueueId id : report.quarantined) {
    log.event(LogLevel::error, "message-quarantined")
        .field("queue_id", id.text())
        .field("reason", "its spool file is missing or has the wrong size");
  }
  const std::string key_path = configuration->state_directory + "/queue.key";
  // A new key would make every waiting message unreadable; a lost one can still come back.
  const auto figures = (*store)->figures();
  if (!figures) return std::unexpected(figures.error());
  if (figures->messages > 0 && access(key_path.c_str(), F_OK) != 0) {
    return fail(
        ErrorKind::corrupt, "open the queue",
        std::to_string(figures->messages) + " messages wait, but their key " + key_path +
            " is gone; put it back from a backup, or move the state directory away to start "
            "with an empty queue");
  }
  auto key = crypto::QueueKey::load_or_create(key_path);
  if (!key) return std::unexpected(key.error());
  queue_key.emplace(std::move(*key));
  storage = std::make_unique<storage::StorageThread>(std::move(*store), log, [this](Error error) {
    log.event(LogLevel::error, "storage-failed")
        .field("error", error.text())
        .field("advice", "the relay stops now and recovers at its restart; check the medium");
    static_cast<void>(loop->post([this] {
      store_dead = true;
      begin_shutdown();
    }));
  });
  return {};
}

void Service::Parts::restore_counters() {
  storage::LoadCounters request;
  request.done = [this](Result<std::vector<std::pair<std::string, std::string>>> counters) {
    static_cast<void>(loop->post([this, counters = std::move(counters)] {
      if (counters) gatekeeper->restore(*counters);
    }));
  };
  static_cast<void>(storage->post(std::move(request)));
}

// One set of listeners for each worker, sharing the port; a socket from the supervisor stands in
// for the configured listener with its port.
Result<> Service::Parts::open_listeners() {
  std::vector<submission::ListenerPlan> plans;
  for (const auto& listener : configuration->listeners)
    plans.push_back({listener.address, listener.implicit_tls, -1});
  auto handed_over = net::take_handed_over_sockets();
  if (!handed_over) return std::unexpected(handed_over.error());
  for (const auto& socket : *handed_over) {
    const auto plan = std::ranges::find_if(plans, [&](const submission::ListenerPlan& candidate) {
      return candidate.address.port == socket.address.port && candidate.handed_over_fd < 0;
    });
    if (plan == plans.end()) {
      return fail(ErrorKind::invalid,
                  "take the socket " + socket.address.text() + " from the supervisor",
                  "no [[listener]] has its port; add one, so that the relay knows its TLS mode");
    }
    plan->handed_over_fd = socket.fd;
  }
  const std::size_t cores = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  const auto policy = submission_snapshot(*configuration);
  for (std::size_t i = 0; i < std::min(cores, workers_max); ++i) {
    auto worker = submission::SubmissionWorker::create(*submission_services, *gatekeeper, policy);
    if (!worker) return std::unexpected(worker.error());
    for (auto& plan : plans) {
      submission::ListenerPlan own = plan;
      if (own.handed_over_fd >= 0 && i > 0) own.handed_over_fd = dup(own.handed_over_fd);
      if (auto listening = (*worker)->listen(own); !listening)
        return std::unexpected(listening.error());
      plan.address = own.address;  // the port, where 0 was asked for
    }
    workers.push_back(std::move(*worker));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    configuration->listeners[i].address = plans[i].address;
    log.event(LogLevel::info, "listening")
        .field("address", plans[i].address.text())
        .field("tls", plans[i].implicit_tls ? "implicit" : "starttls")
        .field("handed_over", plans[i].handed_over_fd >= 0);
  }
  return {};
}

Result<> Service::Parts::open_control() {
  control::ControlActions actions{
      .status = [this](Callback<control::StatusFacts> answer) { status(std::move(answer)); },
      .change = [this](
                    control::Verb verb, std::optional<QueueId> id,
                    Callback<Result<std::size_t>> answer) { change(verb, id, std::move(answer)); },
      .reload = [this] { return reload(); },
  };
  auto service = control::ControlService::listen(*loop, configuration->control_socket, *storage,
                                                 std::move(actions));
  if (!service) return std::unexpected(service.error());
  control = std::move(*service);
  return {};
}

void Service::Parts::watch_signals() {
  for (const int number : {SIGTERM, SIGINT}) {
    signals.push_back(std::make_unique<net::SignalWatcher>(*loop, number, [this, number] {
      log.event(LogLevel::notice, "stopping")
          .field("signal", number == SIGTERM ? "SIGTERM" : "SIGINT");
      begin_shutdown();
    }));
  }
  signals.push_back(
      std::make_unique<net::SignalWatcher>(*loop, SIGHUP, [this] { static_cast<void>(reload()); }));
}

// The old configuration stays in force unless the new one is whole.
Result<> Service::Parts::reload() {
  static_cast<void>(net::notify_supervisor("RELOADING=1"));
  auto loaded = config::load_configuration(configuration_path);
  if (!loaded.configuration) {
    std::string all;
    for (const auto& problem : loaded.problems) {
      log.event(LogLevel::error, "configuration-problem").field("problem", problem.text());
      all += (all.empty() ? "" : "; ") + problem.text();
    }
    log.event(LogLevel::error, "reload-refused")
        .field("problems", loaded.problems.size())
        .field("advice", "the old configuration stays in force; mend the file and reload again");
    reload_problem = all;
    static_cast<void>(net::notify_supervisor("READY=1"));
    return fail(ErrorKind::invalid, "reload the configuration", all);
  }
  for (const auto& [name, changed] :
       {std::pair{"state_directory",
                  loaded.configuration->state_directory != configuration->state_directory},
        std::pair{"control_socket",
                  loaded.configuration->control_socket != configuration->control_socket}}) {
    if (changed) {
      log.event(LogLevel::warning, "restart-needed").field("setting", name);
    }
  }
  const auto& before = configuration->listeners;
  const auto& after = loaded.configuration->listeners;
  if (!std::ranges::equal(before, after, [](const config::Listener& a, const config::Listener& b) {
        return a.implicit_tls == b.implicit_tls && (a.address == b.address || b.address.port == 0);
      })) {
    log.event(LogLevel::warning, "restart-needed").field("setting", "listener");
  }
  loaded.configuration->listeners = before;  // what really listens
  configuration = std::move(loaded.configuration);
  reload_problem.reset();
  const auto policy = submission_snapshot(*configuration);
  gatekeeper->configure(policy);
  for (auto& worker : workers) worker->configure(policy);
  delivery->configure(delivery_snapshot(*configuration));
  log.event(LogLevel::notice, "reloaded").field("users", configuration->users.size());
  static_cast<void>(net::notify_supervisor("READY=1"));
  return {};
}

void Service::Parts::status(Callback<control::StatusFacts> answer) {
  storage::LoadFigures request;
  request.done = [this, answer = std::move(answer)](Result<storage::QueueFigures> figures) mutable {
    static_cast<void>(
        loop->post([this, figures = std::move(figures), answer = std::move(answer)]() mutable {
          control::StatusFacts facts;
          facts.version = POSTERN_VERSION;
          facts.hostname = configuration->hostname;
          facts.started = started;
          facts.now = read_clocks().wall;
          for (const auto& listener : configuration->listeners) {
            facts.listeners.emplace_back(listener.address.text(),
                                         listener.implicit_tls ? "implicit" : "starttls");
          }
          facts.connections = gatekeeper->open_connections();
          if (figures) facts.queue = *figures;
          facts.reload_problem = reload_problem;
          static_cast<void>(delivery->ask_facts(
              *loop, [facts = std::move(facts),
                      answer = std::move(answer)](delivery::DeliveryFacts delivery_facts) mutable {
                facts.relayed = delivery_facts.figures.relayed;
                facts.delayed = delivery_facts.figures.delayed;
                facts.failed = delivery_facts.figures.failed;
                for (auto& upstream : delivery_facts.upstreams) {
                  facts.upstreams.push_back(
                      {upstream.name, upstream.host, upstream.connections, upstream.last_error});
                }
                answer(std::move(facts));
              }));
        }));
  };
  static_cast<void>(storage->post(std::move(request)));
}

void Service::Parts::change(control::Verb verb, std::optional<QueueId> id,
                            Callback<Result<std::size_t>> answer) {
  using delivery::QueueChange;
  const QueueChange what = verb == control::Verb::queue_retry     ? QueueChange::retry
                           : verb == control::Verb::queue_hold    ? QueueChange::hold
                           : verb == control::Verb::queue_release ? QueueChange::release
                                                                  : QueueChange::remove;
  static_cast<void>(delivery->ask_change(*loop, what, id, std::move(answer)));
}

// Sessions first, because they hand mail to everything else; then delivery. This loop keeps running
// meanwhile, because sessions ask the gatekeeper until their end; a thread waits for them. A second
// signal changes nothing: every wait is bounded.
void Service::Parts::begin_shutdown() {
  if (waiter.joinable()) return;
  static_cast<void>(net::notify_supervisor("STOPPING=1"));
  control.reset();
  for (auto& worker : workers) worker->begin_stop();
  waiter = std::thread([this] {
    for (auto& worker : workers) worker->join();
    delivery->begin_stop();
    delivery->join();
    loop->stop();
  });
}

int Service::run() {
  Parts& parts = *parts_;
  parts.delivery->start();
  for (auto& worker : parts.workers) worker->start();
  parts.log.event(LogLevel::notice, "started")
      .field("version", POSTERN_VERSION)
      .field("hostname", parts.configuration->hostname)
      .field("workers", parts.workers.size());
  static_cast<void>(net::notify_supervisor("READY=1"));
  parts.loop->run();
  parts.waiter.join();
  parts.gatekeeper->save_counters();
  parts.storage->stop();  // all of the others write, so it ends last
  if (parts.store_dead) return 1;
  parts.log.event(LogLevel::notice, "stopped").field("exit_code", 0);
  return 0;
}

}  // namespace postern
