// The relay's lives and its store; see relay.hpp.
#include "tests/world/relay.hpp"

#include <cstdlib>

namespace postern::world {

namespace {

policy::AddressPattern pattern(std::string_view text) {
  auto parsed = policy::AddressPattern::parse(text);
  if (!parsed) std::abort();
  return std::move(*parsed);
}

}  // namespace

Relay::Relay(const fault::RealFolder& folder, std::uint64_t seed, Timeline& timeline,
             SeededRandom& random, Ledger& ledger, Mistake mistake)
    : timeline_(timeline),
      random_(random),
      ledger_(ledger),
      mistake_(mistake),
      state_(folder.state()),
      disk_(folder.root(), seed + 1),
      vfs_(disk_, fault::Mutant::none, seed + 2),
      files_(disk_, fault::Mutant::none),
      key_(crypto::QueueKey::from_octets(
          Secret(std::string_view("the world's queue key, 32 octets", 32)))) {
  policy::User user;
  user.name = device_user;
  user.senders.push_back(pattern(device_address));
  user.recipients.push_back(pattern("*@far.example"));
  user.rates.messages_per_minute_max = 20;
  users_.emplace(user.name, std::move(user));
  retry_.retry_delay_min = std::chrono::minutes(1);
  retry_.retry_delay_max = std::chrono::minutes(30);
}

Relay::~Relay() = default;

void Relay::start() {
  auto opened = storage::QueueStore::open(state_, vfs_.name(), &files_);
  if (disk_.frozen()) {
    die(true);
    return;
  }
  if (!opened) {
    ledger_.complain("the queue does not open: " + opened.error().text());
    return;
  }
  store_ = std::move(*opened);
  if (!store_->open_report().quarantined.empty()) ledger_.complain("mail was quarantined");
  scheduler_ = std::make_unique<queue::Scheduler>(retry_);
  scheduler_->set_slots(next_hop, 4);
  rates_ = {};
  rates_.configure(users_, timeline_.monotonic());
  const auto summaries = store_->summaries(100'000, QueueId{});
  if (died_meanwhile()) return;
  if (!summaries) {
    ledger_.complain("the queue cannot be listed: " + summaries.error().text());
    return;
  }
  for (const auto& summary : *summaries) scheduler_->add(summary, next_hop, timeline_.now());
  arm();
}

void Relay::die(bool power_cut) {
  ++lives_;
  disk_.freeze();
  // What was open is kept until the caller, who may be one of them, has returned.
  for (const auto& submission : submissions_) submission->over = true;
  for (const auto& attempt : attempts_open_) attempt->over = true;
  timeline_.after(
      Duration(0),
      [submissions = std::exchange(submissions_, {}), attempts = std::exchange(attempts_open_, {}),
       store = std::shared_ptr<storage::QueueStore>(std::move(store_)), this, power_cut]() mutable {
        for (const auto& submission : submissions) submission->wire->abandon(End::server);
        for (const auto& attempt : attempts) attempt->wire->abandon(End::client);
        store.reset();
        changes_.clear();
        if (power_cut) {
          ++deaths_by_power_;
          disk_.power_cut();
        } else {
          disk_.thaw();
        }
        timeline_.after(Duration(random_.between(100, 60'000)), [this] { start(); });
      });
}

bool Relay::died_meanwhile() {
  if (store_ == nullptr) return true;
  if (disk_.frozen()) {
    die(true);
    return true;
  }
  if (store_->death() != nullptr) {
    ledger_.complain("the store died on a healthy disk: " + store_->death()->text());
    return true;
  }
  return false;
}

// Group commit: what comes within 25 ms shares one.
void Relay::change(Change change) {
  changes_.push_back(std::move(change));
  if (changes_.size() == 1) after(Duration(random_.below(26)), [this] { commit(); });
}

void Relay::commit() {
  std::vector<Change> batch = std::exchange(changes_, {});
  if (!store_->begin()) {
    static_cast<void>(died_meanwhile());
    return;
  }
  std::vector<Result<>> results;
  for (Change& change : batch) results.push_back(change.apply());
  const Result<> committed = store_->commit();
  if (died_meanwhile()) return;
  if (!committed) ledger_.complain("a commit failed: " + committed.error().text());
  for (std::size_t at = 0; at < batch.size() && store_ != nullptr; ++at) {
    batch[at].done(committed ? results[at] : committed);
  }
  if (store_ == nullptr) return;
  store_->maintain();
  static_cast<void>(died_meanwhile());
}

}  // namespace postern::world
