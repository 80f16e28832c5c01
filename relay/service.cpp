// Putting the parts together and taking them apart.
#include "relay/service.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "relay/config/limits.hpp"
#include "relay/descriptors.hpp"
#include "relay/net/connection.hpp"
#include "relay/service_parts.hpp"
#include "relay/snapshots.hpp"

namespace postern {

Service::Service() = default;
Service::~Service() = default;

Result<std::unique_ptr<Service>> Service::create(
    std::string configuration_path, std::unique_ptr<config::Configuration> configuration,
    Logger& log) {
  std::unique_ptr<Service> service(new Service());
  service->parts_ =
      std::make_unique<Parts>(std::move(configuration_path), std::move(configuration), log);
  Parts& parts = *service->parts_;
  // Both come out of the environment, which is only safe while one thread runs.
  parts.supervisor = net::Supervisor::from_environment();
  auto handed_over = net::take_handed_over_sockets();
  if (!handed_over) return std::unexpected(handed_over.error());
  parts.handed_over = std::move(*handed_over);
  prepare_descriptors(*parts.configuration, log);
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
  parts.certificate_timer = std::make_unique<net::Timer>(*parts.loop);
  parts.watch_certificate();
  return service;
}

Result<> Service::Parts::open_storage() {
  auto store = storage::QueueStore::open(configuration->state_directory);
  if (!store) return std::unexpected(store.error());
  const auto& report = (*store)->open_report();
  if (report.swept_files > 0) {
    log.event(LogLevel::info, "spool-swept").field("files", report.swept_files);
  }
  if (report.log_damage) {
    log.event(LogLevel::error, "log-damaged").field("reason", *report.log_damage);
  }
  for (const QueueId id : report.lost) {
    log.event(LogLevel::error, "message-entry-lost")
        .field("queue_id", id.text())
        .field("advice", "the medium is damaged; a report names the recipients");
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
  storage =
      std::make_unique<storage::StorageThread>(std::move(*store), log, [this](const Error& error) {
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
      if (counters) {
        gatekeeper->restore(*counters);
      } else {
        tell_counters_lost(counters.error().text());
      }
    }));
  };
  if (!storage->post(std::move(request))) tell_counters_lost("the storage thread takes no request");
}

void Service::Parts::tell_counters_lost(const std::string& why) {
  log.event(LogLevel::error, "counters-not-restored")
      .field("error", why)
      .field("advice", "daily limits of users count from this start on");
}

// A socket from the supervisor stands in for a configured listener; the other ports must be free.
Result<std::vector<submission::ListenerPlan>> Service::Parts::plan_listeners() const {
  std::vector<SocketAddress> addresses;
  for (const auto& listener : configuration->listeners) addresses.push_back(listener.address);
  const auto descriptors = net::assign_sockets(handed_over, addresses);
  if (!descriptors) return std::unexpected(descriptors.error());
  std::vector<submission::ListenerPlan> plans;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    plans.push_back({addresses[i], configuration->listeners[i].implicit_tls, (*descriptors)[i]});
    if (plans.back().handed_over_fd >= 0) continue;
    if (auto free = net::TcpListener::check_free(addresses[i]); !free)
      return std::unexpected(free.error());
  }
  return plans;
}

// One set of listeners for each worker, sharing the port.
Result<> Service::Parts::open_listeners() {
  auto planned = plan_listeners();
  if (!planned) return std::unexpected(planned.error());
  auto& plans = *planned;
  const std::size_t cores = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  const auto policy = submission_snapshot(*configuration);
  for (std::size_t i = 0; i < std::min(cores, workers_max); ++i) {
    auto worker = submission::SubmissionWorker::create(*submission_services, *gatekeeper, policy);
    if (!worker) return std::unexpected(worker.error());
    for (auto& plan : plans) {
      submission::ListenerPlan own = plan;
      if (own.handed_over_fd >= 0 && i > 0) {
        const auto copy = net::duplicate_socket(own.handed_over_fd);
        if (!copy) return std::unexpected(copy.error());
        own.handed_over_fd = *copy;
      }
      if (auto listening = (*worker)->listen(own); !listening)
        return std::unexpected(listening.error());
      plan.address = own.address;  // the port, where 0 was asked for
    }
    workers.push_back(std::move(*worker));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    // Nobody shall think that a relay is behind one address that answers at all of them.
    if (plans[i].handed_over_fd >= 0 && plans[i].address != configuration->listeners[i].address) {
      log.event(LogLevel::warning, "listens-elsewhere")
          .field("configured", configuration->listeners[i].address.text())
          .field("address", plans[i].address.text())
          .field("advice", "the supervisor's socket decides: change its ListenStream=");
    }
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
      .status =
          [this](Callback<Result<control::StatusFacts>> answer) { status(std::move(answer)); },
      .change =
          [this](queue::QueueChange what, std::optional<QueueId> id,
                 Callback<Result<queue::QueueChangeCount>> answer) {
            static_cast<void>(delivery->ask_change(*loop, what, id, std::move(answer)));
          },
      .reload = [this](ReloadAnswer answer) { reload(std::move(answer)); },
      .health = [this](Callback<Result<queue::HealthFacts>> answer) { health(std::move(answer)); },
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
      std::make_unique<net::SignalWatcher>(*loop, SIGHUP, [this] { reload(ReloadAnswer()); }));
}

// Sessions first, because they hand mail to everything else; then delivery. This loop keeps running
// meanwhile, because sessions ask the gatekeeper until their end; a thread waits for them. A second
// signal changes nothing: every wait is bounded.
void Service::Parts::begin_shutdown() {
  if (waiter.joinable()) return;
  static_cast<void>(supervisor.notify("STOPPING=1"));
  if (watchdog) watchdog->stop_asking();
  control.reset();
  for (auto& worker : workers) worker->begin_stop();
  waiter = std::thread([this] {
    for (auto& worker : workers) worker->join();
    delivery->begin_stop();
    delivery->join();
    loop->stop();
  });
}

// At the start, after each reload and every day: no device can send once it has expired.
void Service::Parts::watch_certificate() {
  const Duration left = configuration->tls->expires() - read_clocks().wall;
  if (left < config::certificate_warning) {
    log.event(LogLevel::warning, left > Duration(0) ? "certificate-expires" : "certificate-expired")
        .field("at", format_timestamp(configuration->tls->expires()))
        .field("advice", "renew certificate_file of [tls], then `postern reload`");
  }
  certificate_timer->start(std::chrono::days(1), [this] { watch_certificate(); });
}

// Storage, delivery and each worker; this loop shows by asking that it turns itself.
void Service::Parts::start_watchdog() {
  const auto interval = supervisor.watchdog_interval();
  if (!interval) return;
  std::vector<Watchdog::Ask> threads;
  threads.emplace_back([this](Callback<> answer) {
    storage::LoadSummaries request{.messages_max = 1, .after = QueueId(), .done = {}};
    request.done = [this, answer = std::move(answer)](const auto&) mutable {
      static_cast<void>(loop->post(std::move(answer)));
    };
    return storage->post(std::move(request));
  });
  threads.emplace_back([this](Callback<> answer) {
    return delivery->ask_facts(*loop,
                               [answer = std::move(answer)](const auto&) mutable { answer(); });
  });
  for (auto& worker : workers) {
    threads.emplace_back([this, asked = worker.get()](Callback<> answer) {
      return asked->ask_alive(*loop, std::move(answer));
    });
  }
  watchdog = std::make_unique<Watchdog>(*loop, supervisor, *interval, std::move(threads));
  watchdog->start();
}

int Service::run() {
  Parts& parts = *parts_;
  parts.delivery->start();
  for (auto& worker : parts.workers) worker->start();
  parts.log.event(LogLevel::notice, "started")
      .field("version", POSTERN_VERSION)
      .field("hostname", parts.configuration->hostname)
      .field("workers", parts.workers.size());
  static_cast<void>(parts.supervisor.notify("READY=1"));
  parts.start_watchdog();
  parts.loop->run();
  parts.waiter.join();
  parts.gatekeeper->save_counters();
  parts.storage->stop();  // all of the others write, so it ends last
  if (parts.store_dead) return 1;
  parts.log.event(LogLevel::notice, "stopped").field("exit_code", 0);
  return 0;
}

}  // namespace postern
