// Delivery: one thread with one loop that owns the scheduler, the upstream pools and the attempts
// in flight.
//
// Promise: what the store holds is tried when it is due and never before; a message is in one
// attempt at a time; a dead or slow upstream holds up only its own mail, and a user who floods only
// his own (the scheduler's lanes and slots).
// begin_stop() begins nothing new and lets transactions in flight end (at most delivery_grace);
// join() waits for that.
// Questions from other threads are answered on the asker's loop. Sharp edge: a message removed by
// the operator while it is being tried is refused ("busy"): the upstream may have it already.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "relay/delivery/delivery_attempt.hpp"
#include "relay/delivery/delivery_settings.hpp"
#include "relay/delivery/health_probe.hpp"
#include "relay/delivery/upstream_pool.hpp"
#include "relay/net/loop.hpp"
#include "relay/net/resolver.hpp"
#include "relay/queue/operator_view.hpp"
#include "relay/queue/scheduler.hpp"

namespace postern::delivery {

// Messages loaded and being tried at once; bounds memory (a sealed header and an envelope each).
inline constexpr std::size_t attempts_max = 512;
// Messages tried at once over an upstream, for each of its connections: one in the connection's
// hands and one loaded and waiting, so that no connection idles and no user waits behind a heap.
inline constexpr std::size_t slots_per_connection = 2;
inline constexpr std::size_t summaries_page = 4'096;
// A queue that could not be read, or a message that delivery was not told of, is looked for again.
inline constexpr Duration rescan_delay = std::chrono::seconds(5);
inline constexpr Duration delivery_grace = std::chrono::seconds(20);

// Changes of one command asked of the store at once; the mailbox stays open for mail.
inline constexpr std::size_t changes_in_flight_max = 256;

using queue::DeliveryFacts;
using queue::QueueChange;
using queue::QueueChangeCount;

class DeliveryEngine {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DeliveryEngine>> create(DeliveryServices services,
                                                                      SettingsSnapshot settings);
  ~DeliveryEngine();
  void start();
  // From any thread:
  void message_queued(storage::MessageSummary summary);
  void configure(SettingsSnapshot settings);
  void begin_stop();
  void join();
  // `id` nothing: every message that the change applies to. Answered when the store has it; an
  // Error when nothing was changed and something should have been.
  [[nodiscard]] bool ask_change(net::Loop& home, QueueChange change, std::optional<QueueId> id,
                                Callback<Result<QueueChangeCount>> answer);
  [[nodiscard]] bool ask_facts(net::Loop& home, Callback<DeliveryFacts> answer);
  // Tries every upstream and every one of `own`, all at once and beside the mail; answered within
  // probe_time_max. Nothing is sent but EHLO, STARTTLS and QUIT.
  [[nodiscard]] bool ask_health(net::Loop& home,
                                std::vector<std::shared_ptr<const UpstreamSettings>> own,
                                Callback<queue::HealthFacts> answer);

 private:
  DeliveryEngine(DeliveryServices services, SettingsSnapshot settings,
                 std::unique_ptr<net::Loop> loop, std::unique_ptr<net::Resolver> resolver);
  void load_queue(QueueId after);
  void schedule(const storage::MessageSummary& summary, Now now);
  void make_pools();
  void tick();
  void arm_timer();
  void begin_attempt(QueueId id);
  DeliveryAttempt& make_attempt(storage::StoredMessage message);
  void log_not_loaded(QueueId id, const Error& error);
  void message_not_loaded(QueueId id, const Error& error);
  void report_unloadable(QueueId id, const Error& error);
  void examine_quarantined(QueueId id);
  void attempt_finished(const DeliveryAttempt::Result& result);
  // A person's command under way (queue_changes.cpp).
  struct Change {
    net::Loop& home;
    QueueChange what;
    bool all;
    Callback<Result<QueueChangeCount>> answer;
    std::vector<QueueId> ids;
    std::size_t next = 0;
    std::size_t in_flight = 0;
    QueueChangeCount count;
    std::optional<Error> first_error;
  };
  void continue_change(std::uint64_t number);
  // Nothing when the store was asked and answers later.
  [[nodiscard]] std::optional<Result<>> begin_change(std::uint64_t number, QueueChange what,
                                                     QueueId id);
  void change_stored(std::uint64_t number, QueueId id, bool was_held, const Result<>& result);
  void note_change(Change& change, QueueId id, const Result<>& result);
  void rescan_later();
  void stop_on_loop();
  void stop_when_quiet();

  DeliveryServices services_;
  SettingsSnapshot settings_;
  std::unique_ptr<net::Loop> loop_;
  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<net::Timer> timer_;
  std::unique_ptr<net::Timer> grace_timer_;
  std::unique_ptr<net::Timer> rescan_timer_;
  std::atomic<bool> rescan_wanted_ = false;  // set by threads that could not tell of a message
  queue::Scheduler scheduler_;
  std::map<std::string, std::unique_ptr<UpstreamPool>, std::less<>> pools_;
  std::vector<std::unique_ptr<UpstreamPool>>
      old_pools_;  // of settings before a reload, ending their work
  std::map<QueueId, std::unique_ptr<DeliveryAttempt>> attempts_;
  std::map<std::uint64_t, Change> changes_;
  std::map<std::uint64_t, std::unique_ptr<HealthProbe>> probes_;
  std::uint64_t last_probe_ = 0;
  std::uint64_t last_change_ = 0;
  std::set<QueueId> examined_;  // quarantined messages of which it was asked whether a person knows
  AttemptFigures figures_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace postern::delivery
