// The composition root: a checked configuration in, threads up, signals served, everything down in
// order.
//
// Promise: start-up either succeeds whole or says one clear sentence and leaves nothing behind;
// SIGHUP takes a new configuration or keeps the old one and says why; SIGTERM and SIGINT finish
// what is in flight (bounded), commit and return. A dead store (failed commit or sync) ends the
// process with exit code 1: the supervisor restarts it and the queue recovers (relay/README.md,
// "Durability"). Order of life: storage, gatekeeper, delivery, workers, control. Order of death:
// control, workers, delivery, counters, storage. Sharp edge: a reload does not move listeners,
// state directory or control socket; its answer and the status name them until a restart.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/base/log.hpp"
#include "relay/config/configuration.hpp"

namespace postern {

class Service {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Service>> create(
      std::string configuration_path, std::unique_ptr<config::Configuration> configuration,
      Logger& log);
  ~Service();
  // Until a signal ends it. The process's exit code.
  [[nodiscard]] int run();

 private:
  Service();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern
