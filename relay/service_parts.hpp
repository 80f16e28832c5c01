// Private to the service: what it is made of, shared by the file that starts and ends it and the
// one that answers the operator (service_answers.cpp).
//
// Sharp edge: the members' order is the order of life; they are destroyed in the reverse.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "crypto/sealed_body.hpp"
#include "relay/control/control_service.hpp"
#include "relay/delivery/delivery_engine.hpp"
#include "relay/net/handed_over_sockets.hpp"
#include "relay/net/loop.hpp"
#include "relay/service.hpp"
#include "relay/submission/gatekeeper.hpp"
#include "relay/submission/submission_worker.hpp"
#include "relay/watchdog.hpp"
#include "storage/storage_thread.hpp"

namespace postern {

struct Service::Parts {
  Parts(std::string path, std::unique_ptr<config::Configuration> checked, Logger& logger)
      : configuration_path(std::move(path)),
        configuration(std::move(checked)),
        log(logger),
        fixed{configuration->state_directory, configuration->control_socket,
              configuration->listeners} {}

  std::string configuration_path;
  std::unique_ptr<config::Configuration> configuration;
  Logger& log;
  net::Supervisor supervisor;
  std::vector<net::HandedOverSocket> handed_over;
  WallTime started = read_clocks().wall;
  // As the files said at the start, which is what the process lives by until it is restarted.
  struct FixedSettings {
    std::string state_directory;
    std::string control_socket;
    std::vector<config::Listener> listeners;
  } fixed;
  std::vector<std::string> restart_needed;  // settings that changed and wait for a restart
  std::optional<std::string> reload_problem;
  using ReloadAnswer = Callback<Result<std::vector<std::string>>>;
  bool reloading = false;
  std::vector<ReloadAnswer> reloads_asked;  // since the one that runs began
  bool store_dead = false;

  std::unique_ptr<net::Loop> loop;
  std::unique_ptr<net::Timer> certificate_timer;
  std::unique_ptr<Watchdog> watchdog;  // none where the supervisor waits for no sign of life
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
  void tell_counters_lost(const std::string& why);
  [[nodiscard]] Result<std::vector<submission::ListenerPlan>> plan_listeners() const;
  Result<> open_listeners();
  Result<> open_control();
  void watch_signals();
  void watch_certificate();
  void start_watchdog();
  void reload(ReloadAnswer answer);
  void begin_reload();
  [[nodiscard]] Result<std::vector<std::string>> take(config::LoadResult loaded);
  Result<> refuse(const std::vector<config::Problem>& problems);
  void find_restart_needed(const config::Configuration& wanted);
  void status(Callback<Result<control::StatusFacts>> answer);
  void ask_delivery_facts(control::StatusFacts facts,
                          Callback<Result<control::StatusFacts>> answer);
  void health(Callback<Result<queue::HealthFacts>> answer);
  void begin_shutdown();
};

}  // namespace postern
