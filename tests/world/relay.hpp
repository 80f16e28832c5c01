// The relay of the world: the real sessions, policy, store, scheduler and outcomes, joined in one
// thread by a driver of the world's own in place of the libuv ones.
//
// Promise: like the drivers of the product, it answers 250 after the commit, commits an attempt's
// record before the next step, sends a report in the same commit as the failure it reports, and
// knows nothing after a death but what the store holds. Sharp edge: what the product's drivers do
// themselves (TLS, sockets, threads, pools) is not here; tests/interop and tests/kill have them.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crypto/sealed_body.hpp"
#include "relay/policy/rate_limits.hpp"
#include "relay/policy/user.hpp"
#include "relay/queue/outcome.hpp"
#include "relay/queue/scheduler.hpp"
#include "relay/smtp/delivery_session.hpp"
#include "relay/smtp/submission_session.hpp"
#include "storage/queue_store.hpp"
#include "tests/fault/simulated_spool_files.hpp"
#include "tests/fault/simulated_vfs.hpp"
#include "tests/fault/workload.hpp"
#include "tests/world/parties.hpp"

namespace postern::world {

// What the world must be able to see.
enum class Mistake : std::uint8_t {
  none,
  answer_before_commit,  // 250 goes out before the message is safe
  failure_unreported,    // a recipient is given up and nobody hears of it
  taken_is_unrecorded,   // what the upstream took is offered to it again
};

class Relay {
 public:
  Relay(const fault::RealFolder& folder, std::uint64_t seed, Timeline& timeline,
        SeededRandom& random, Ledger& ledger, Mistake mistake);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  void meet(Upstream& upstream) { upstream_ = &upstream; }

  void start();
  // kill -9: the disk keeps what was written. Or the power goes, and it keeps what was synced.
  void die(bool power_cut);
  // The power goes at a coming change of the disk.
  void plan_power_cut() { disk_.plan_cut({fault::CutPlan::After::now, "", random_.below(200)}); }
  // A device dials; false: nobody listens.
  [[nodiscard]] bool accept(const WireHandle& wire);

  [[nodiscard]] const std::uint64_t& lives() const { return lives_; }
  [[nodiscard]] bool alive() const { return store_ != nullptr; }
  [[nodiscard]] bool queue_is_empty() const { return scheduler_->ids().empty(); }
  [[nodiscard]] std::uint64_t attempts() const { return attempts_; }
  [[nodiscard]] std::uint64_t deaths_by_power() const { return deaths_by_power_; }

 private:
  struct Submission;
  struct Attempt;
  struct Change;

  // Submission (submission_side.cpp)
  void pump(Submission& submission);
  void perform(Submission& submission, smtp::SubmissionAction& action);
  void store_message(Submission& submission);
  void seal(storage::NewMessage& message, std::string_view content, Bytes& spool_octets);

  // Delivery (delivery_side.cpp)
  void arm();
  void tick();
  void begin_attempt(QueueId id);
  void pump(Attempt& attempt);
  void perform(Attempt& attempt, smtp::DeliveryAction& action);
  void watch(Attempt& attempt);
  void send_content(Attempt& attempt);
  [[nodiscard]] Result<std::string> open_content(const storage::StoredMessage& message);
  void conclude(Attempt& attempt);
  void add_report(const Attempt& attempt, storage::AttemptRecord& record,
                  const std::vector<queue::Outcome>& outcomes);

  // The store (relay.cpp)
  void change(Change change);
  void commit();
  // Whether the power went, or the store died, at what was just done; then nothing may be touched.
  [[nodiscard]] bool died_meanwhile();
  template <class Event>
  void after(Duration delay, Event event) {
    timeline_.after(delay, [this, life = lives_, event = std::move(event)]() mutable {
      if (life == lives_ && store_ != nullptr) event();
    });
  }

  Timeline& timeline_;
  SeededRandom& random_;
  Ledger& ledger_;
  Mistake mistake_;
  Upstream* upstream_ = nullptr;
  std::string state_;
  fault::SimulatedDisk disk_;
  fault::SimulatedVfs vfs_;
  fault::SimulatedSpoolFiles files_;
  crypto::QueueKey key_;
  policy::UserDirectory users_;
  queue::RetrySettings retry_;

  // Of this life.
  std::unique_ptr<storage::QueueStore> store_;
  std::unique_ptr<queue::Scheduler> scheduler_;
  policy::RateLimits rates_;
  std::set<std::shared_ptr<Submission>> submissions_;
  std::set<std::shared_ptr<Attempt>> attempts_open_;
  std::vector<Change> changes_;
  std::uint64_t tokens_ = 0;

  std::uint64_t lives_ = 0;
  std::uint64_t ids_ = 0;
  std::uint64_t mistaken_ = 0;
  std::uint64_t attempts_ = 0;
  std::uint64_t deaths_by_power_ = 0;
};

struct Relay::Change {
  std::function<Result<>()> apply;
  std::function<void(const Result<>&)> done;
};

struct Relay::Submission {
  smtp::SubmissionSession session;
  WireHandle wire;
  std::string input;
  std::string content;
  bool over = false;
};

struct Relay::Attempt {
  storage::StoredMessage message;
  smtp::Envelope envelope;
  std::vector<std::size_t> positions;  // of the envelope's recipients in the message
  MonotonicTime waiting_since;
  smtp::DeliverySession session;
  WireHandle wire;
  std::uint64_t timer = 0;  // the newest one counts
  bool begun = false;
  std::vector<smtp::RecipientResult> results;
  std::string trouble = "the session ended early";
  bool over = false;
};

inline constexpr std::string_view next_hop = "provider";

}  // namespace postern::world
