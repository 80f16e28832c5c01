// The storage thread; see storage_thread.hpp.
//
// Changes are gathered into a batch of at most batch_requests_max requests and about
// batch_bytes_max octets, which is one transaction. Reading and spooling happen between the
// batches, so that no answer can tell of what is then rolled back.
#include "storage/storage_thread.hpp"

#include <algorithm>
#include <atomic>
#include <span>
#include <thread>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/base/mailbox.hpp"

namespace postern::storage {

namespace {

// Enough to share a sync among all who wait, little enough that the first does not wait long.
constexpr std::size_t batch_requests_max = 256;
// What one transaction may put into SQLite's memory and log; reserve_bytes_min counts with it.
constexpr std::size_t batch_bytes_max = std::size_t{4} * 1024 * 1024;

// Everything about messages on their way, which many share; what a person or the clock asks for is
// rare, and is committed at once.
bool may_gather(const StorageRequest& request) {
  return std::holds_alternative<InsertMessage>(request) ||
         std::holds_alternative<RecordAttempt>(request);
}

bool changes_the_queue(const StorageRequest& request) {
  return may_gather(request) || std::holds_alternative<SetHeld>(request) ||
         std::holds_alternative<SetNextAttempt>(request) ||
         std::holds_alternative<SetQuarantined>(request) ||
         std::holds_alternative<RemoveMessage>(request) ||
         std::holds_alternative<SaveCounters>(request) ||
         std::holds_alternative<KeepCounters>(request);
}

// Whether the change concerns the message.
bool concerns(const StorageRequest& change, QueueId id) {
  if (const auto* insert = std::get_if<InsertMessage>(&change)) return insert->message.id == id;
  if (const auto* attempt = std::get_if<RecordAttempt>(&change)) {
    const auto is = [id](const std::optional<NewMessage>& report) {
      return report && report->id == id;
    };
    return attempt->record.id == id || is(attempt->record.report) ||
           is(attempt->record.confirmation);
  }
  return true;
}

std::size_t bytes_of(const StorageRequest& request) {
  const auto content_bytes = [](const NewMessage& message) {
    return message.content.sealed_header.size() + message.content.sealed_body.size();
  };
  if (const auto* insert = std::get_if<InsertMessage>(&request)) {
    return content_bytes(insert->message);
  }
  if (const auto* attempt = std::get_if<RecordAttempt>(&request)) {
    const AttemptRecord& record = attempt->record;
    return (record.report ? content_bytes(*record.report) : 0) +
           (record.confirmation ? content_bytes(*record.confirmation) : 0);
  }
  return 0;
}

// The requests of one transaction and their answers.
class Batch {
 public:
  explicit Batch(QueueStore& store) : store_(store) {}

  // What each request does; `answer` keeps the outcome until the commit.
  void operator()(AppendToSpool& request) {
    answer(request.done, store_.append_to_spool(request.token, request.sealed));
  }
  void operator()(DiscardSpool& request) { store_.discard_spool(request.token); }
  void operator()(InsertMessage& request) {
    answer(request.done, change([&] { return store_.insert(request.message, request.token); }));
  }
  void operator()(RecordAttempt& request) {
    answer(request.done, change([&] { return store_.record(request.record); }));
  }
  void operator()(SetHeld& request) {
    answer(request.done, change([&] { return store_.set_held(request.id, request.held); }));
  }
  void operator()(SetNextAttempt& request) {
    answer(request.done, change([&] { return store_.set_next_attempt(request.id, request.when); }));
  }
  void operator()(SetQuarantined& request) {
    answer(request.done,
           change([&] { return store_.set_quarantined(request.id, request.reason); }));
  }
  void operator()(RemoveMessage& request) {
    answer(request.done, change([&] { return store_.remove(request.id); }));
  }
  void operator()(SaveCounters& request) {
    answer(request.done, change([&]() -> Result<> {
             for (const auto& [name, value] : request.counters) {
               if (auto saved = store_.save_counter(name, value); !saved) return saved;
             }
             return {};
           }));
  }
  void operator()(KeepCounters& request) {
    answer(request.done,
           change([&] { return store_.keep_counters(request.prefix, request.kept); }));
  }
  void operator()(LoadSummaries& request) {
    answer(request.done, store_.summaries(request.messages_max, request.after));
  }
  void operator()(LoadMessage& request) { answer(request.done, store_.load(request.id)); }
  void operator()(ReadBody& request) {
    answer(request.done, store_.read_body(request.id, request.offset, request.bytes_max));
  }
  void operator()(LoadCounters& request) { answer(request.done, store_.counters()); }
  void operator()(LoadFigures& request) { answer(request.done, store_.figures()); }

  void commit_and_answer() {
    Result<> committed;
    if (begun_) committed = store_.commit();
    for (auto& answer : answers_) answer(committed);
  }

 private:
  template <class Work>
  Result<> change(Work work) {
    if (!begun_) {
      if (auto begun = store_.begin(); !begun) return begun;
      begun_ = true;
    }
    return work();
  }

  template <class Value>
  void answer(Callback<Result<Value>>& done, Result<Value> result) {
    if (!done) return;
    answers_.emplace_back(
        [done = std::move(done), result = std::move(result)](const Result<>& committed) mutable {
          if (result && !committed) result = std::unexpected(committed.error());
          done(std::move(result));
        });
  }

  QueueStore& store_;
  bool begun_ = false;
  std::vector<std::move_only_function<void(const Result<>&)>> answers_;
};

}  // namespace

struct StorageThread::Parts {
  Parts(std::unique_ptr<QueueStore> owned_store, Logger& to, Callback<Error> when_dead)
      : store(std::move(owned_store)), logger(to), on_dead(std::move(when_dead)) {}

  void run();
  void take(StorageRequest request);
  [[nodiscard]] bool must_commit_before(const StorageRequest& request) const;
  void commit_gathered();
  void do_batch(std::span<StorageRequest> requests);
  void measure();
  void tell_death();

  std::unique_ptr<QueueStore> store;
  Logger& logger;
  Callback<Error> on_dead;
  bool death_told = false;
  Mailbox<StorageRequest> mailbox{storage_requests_max};
  std::vector<StorageRequest> gathered;  // changes that wait for their commit
  std::size_t gathered_bytes = 0;
  bool gathered_urgent = false;
  std::chrono::steady_clock::time_point commit_due;
  std::atomic<std::uint64_t> free_bytes{0};
  std::atomic<std::uint64_t> queued_bytes{0};
  std::thread thread;
};

StorageThread::StorageThread(std::unique_ptr<QueueStore> store, Logger& logger,
                             Callback<Error> on_dead)
    : parts_(std::make_unique<Parts>(std::move(store), logger, std::move(on_dead))) {
  parts_->measure();
  parts_->thread = std::thread([parts = parts_.get()] { parts->run(); });
}

StorageThread::~StorageThread() { stop(); }

bool StorageThread::post(StorageRequest request) {
  // One for each spool file at most, which would else stay open until the restart.
  if (std::holds_alternative<DiscardSpool>(request)) {
    return parts_->mailbox.push_release(std::move(request));
  }
  return parts_->mailbox.push(std::move(request));
}

void StorageThread::stop() {
  POSTERN_ASSERT(std::this_thread::get_id() != parts_->thread.get_id());
  parts_->mailbox.close();
  if (!parts_->thread.joinable()) return;
  parts_->thread.join();
  parts_->store.reset();  // closes the database and gives the state directory's lock back
}

std::uint64_t StorageThread::free_bytes() const {
  return parts_->free_bytes.load(std::memory_order_relaxed);
}

std::uint64_t StorageThread::queued_bytes() const {
  return parts_->queued_bytes.load(std::memory_order_relaxed);
}

void StorageThread::Parts::run() {
  while (true) {
    std::vector<StorageRequest> waiting =
        gathered.empty() ? mailbox.wait_and_take_all() : mailbox.wait_and_take_all(commit_due);
    if (waiting.empty() && gathered.empty()) return;
    const bool time_is_up = waiting.empty();
    for (StorageRequest& request : waiting) take(std::move(request));
    if (time_is_up || gathered_urgent || std::chrono::steady_clock::now() >= commit_due) {
      commit_gathered();
    }
  }
}

void StorageThread::Parts::take(StorageRequest request) {
  if (!changes_the_queue(request)) {
    if (must_commit_before(request)) commit_gathered();
    do_batch({&request, 1});
    return;
  }
  gathered_bytes += bytes_of(request);
  gathered_urgent = gathered_urgent || !may_gather(request);
  gathered.push_back(std::move(request));
  if (gathered.size() >= batch_requests_max || gathered_bytes >= batch_bytes_max) commit_gathered();
}

// A question comes after all that was asked before it; one about a single message need not wait for
// the others.
bool StorageThread::Parts::must_commit_before(const StorageRequest& request) const {
  if (std::holds_alternative<AppendToSpool>(request)) return false;
  const auto* load = std::get_if<LoadMessage>(&request);
  const auto* read = std::get_if<ReadBody>(&request);
  if (load == nullptr && read == nullptr) return !gathered.empty();
  const QueueId id = load != nullptr ? load->id : read->id;
  return std::ranges::any_of(gathered, [id](const auto& change) { return concerns(change, id); });
}

void StorageThread::Parts::commit_gathered() {
  if (gathered.empty()) return;
  do_batch(gathered);
  gathered.clear();
  gathered_bytes = 0;
  gathered_urgent = false;
  store->maintain();
  measure();
  tell_death();
  commit_due = std::chrono::steady_clock::now() + commit_interval;
}

void StorageThread::Parts::do_batch(std::span<StorageRequest> requests) {
  Batch batch(*store);
  for (StorageRequest& request : requests) {
    std::visit(batch, request);
    request = DiscardSpool{};  // what it held is not needed while the rest of the batch waits
  }
  batch.commit_and_answer();
}

void StorageThread::Parts::measure() {
  // On failure the figures of the last batch stay; a dead store refuses everything anyway.
  const Result<QueueFigures> figures = store->figures();
  if (!figures) return;
  free_bytes.store(figures->free_bytes, std::memory_order_relaxed);
  queued_bytes.store(figures->bytes, std::memory_order_relaxed);
}

void StorageThread::Parts::tell_death() {
  const Error* death = store->death();
  if (death == nullptr || death_told) return;
  death_told = true;
  logger.event(LogLevel::error, "storage-dead").field("reason", death->text());
  if (on_dead) on_dead(*death);
}

}  // namespace postern::storage
