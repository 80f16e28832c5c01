// A life by way of the storage thread: rounds of many requests that share a commit; see lives.hpp.
//
// The storage thread is held in an answer until a round is posted, so that the round is one batch
// and the life follows from its seed.
#include <algorithm>
#include <future>

#include "storage/storage_thread.hpp"
#include "tests/fault/lives.hpp"

namespace postern::fault {

namespace {

using storage::Done;
using storage::StorageRequest;

class Round {
 public:
  Round(Client& client, storage::StorageThread& thread) : client_(client), thread_(thread) {}

  // False: the store died in it. Nothing may be asked after that, or what its last commit came to
  // would be forgotten.
  [[nodiscard]] bool run() {
    std::promise<void> held;
    std::promise<void> go;
    post(storage::LoadFigures{[&held, gate = go.get_future()](auto) {
      held.set_value();
      gate.wait();
    }});
    held.get_future().wait();
    states_ = {client_.ledger().certain()};
    const std::uint64_t requests = client_.random().between(1, 12);
    for (std::uint64_t request = 0; request < requests; ++request) post_one();
    // A counter is committed at once, and all that waits with it.
    const std::string value = std::to_string(client_.random().below(1'000));
    QueueState after = states_.back();
    after.counters["round"] = value;
    expect(std::move(after),
           [&](Done done) { return storage::SaveCounters{{{"round", value}}, std::move(done)}; });
    go.set_value();
    for (auto& answer : answers_) taken_.push_back(answer.get());
    settle();
    return std::ranges::find(taken_, false) == taken_.end();
  }

 private:
  void post(StorageRequest request) {
    if (!thread_.post(std::move(request))) client_.complain("the storage thread takes nothing");
  }

  template <class Make>
  void expect(QueueState after, Make make) {
    auto promise = std::make_unique<std::promise<bool>>();
    answers_.push_back(promise->get_future());
    states_.push_back(std::move(after));
    post(make([promise = std::move(promise)](Result<> result) {
      promise->set_value(result.has_value());
    }));
  }

  void post_one() {
    QueueState after = states_.back();
    const std::optional<std::uint64_t> some = client_.pick(after);
    if (some && (client_.random().one_in(2) || after.messages.size() > 12)) {
      MessageState state = after.messages.at(*some);
      auto record = client_.make_record(*some, state);
      const bool waits = std::ranges::find(state.recipients, storage::RecipientState::waiting) !=
                         state.recipients.end();
      after.messages[*some] = state;
      if (!waits) after.messages.erase(*some);
      expect(std::move(after),
             [&](Done done) { return storage::RecordAttempt{std::move(record), std::move(done)}; });
      return;
    }
    const Recipe recipe = client_.new_recipe();
    Bytes spool_octets;
    storage::NewMessage message = client_.ledger().mail().make(recipe, spool_octets);
    std::optional<std::uint64_t> token;
    if (recipe.spooled) {
      token = client_.next_token();
      post(storage::AppendToSpool{*token, std::move(spool_octets), {}});
    }
    after.messages[recipe.number] = MessageState{};
    expect(std::move(after), [&](Done done) {
      return storage::InsertMessage{std::move(message), token, std::move(done)};
    });
  }

  // All up to the last that was answered with success must be there; of those after it, which share
  // commits of unknown outcome, any first part.
  void settle() {
    std::size_t sure = 0;
    for (std::size_t at = 0; at < taken_.size(); ++at) {
      if (taken_[at]) sure = at + 1;
    }
    for (std::size_t at = 0; at < sure; ++at) {
      if (!taken_[at]) client_.complain("a request was refused on a healthy disk");
    }
    client_.ledger().unknown({states_.begin() + static_cast<std::ptrdiff_t>(sure), states_.end()});
  }

  Client& client_;
  storage::StorageThread& thread_;
  std::vector<QueueState> states_;  // before the round, and after each of its requests
  std::vector<std::future<bool>> answers_;
  std::vector<bool> taken_;
};

}  // namespace

LifeOutcome live_with_thread(const RealFolder& folder, std::uint64_t seed) {
  Client client(folder, seed);
  Logger logger([](LogLevel, std::string_view) {});
  LifeOutcome outcome;
  const std::uint64_t cuts = client.random().between(1, 3);
  while (outcome.cuts < cuts && client.violation().empty()) {
    client.disk().plan_cut({CutPlan::After::now, "", client.random().below(600)});
    if (client.open()) {
      storage::StorageThread thread(client.give_store(), logger, [](Error) {});
      for (int round = 0; round < 12 && Round(client, thread).run();) ++round;
      // By the thread that uses the disk, between two of its works.
      if (!thread.post(storage::LoadFigures{[&client](auto) { client.disk().freeze(); }})) {
        client.complain("the storage thread takes nothing");
      }
      thread.stop();
    }
    client.disk().freeze();
    client.disk().power_cut();
    ++outcome.cuts;
  }
  if (client.violation().empty() && client.open()) client.check_integrity();
  outcome.violation = client.violation();
  return outcome;
}

}  // namespace postern::fault
