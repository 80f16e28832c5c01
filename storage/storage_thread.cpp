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
#include "storage/reserve.hpp"

namespace postern::storage {

namespace {

// Enough to share a sync among all who wait, little enough that the first does not wait long.
constexpr std::size_t batch_requests_max = 256;
// What one transaction may put into SQLite's memory and log; reserve_bytes and free_bytes_min count
// with it.
constexpr std::size_t batch_bytes_max = std::size_t{4} * 1024 * 1024;
// Others fill the disk too: MAIL is judged by a figure that is never older than twice this.
constexpr std::chrono::milliseconds measure_interval{500};

// Everything about messages on their way, which many share; what a person or the clock asks for is
// rare, and is committed at once.
bool may_gather(const StorageRequest& request) {
  return std::holds_alternative<InsertMessage>(request) ||
         std::holds_alternative<RecordAttempt>(request);
}

bool changes_the_queue(const StorageRequest& request) {
  return may_gather(request) || std::holds_alternative<SetHeld>(request) ||
         std::holds_alternative<SetQuarantined>(request) ||
         std::holds_alternative<RemoveMessage>(request) ||
         std::holds_alternative<SaveCounters>(request) ||
         std::holds_alternative<KeepCounters>(request);
}

// Whether the change concerns the message.
bool concerns(const StorageRequest& change, QueueId id) {
  if (const auto* insert = std::get_if<InsertMessage>(&change)) return insert->message.id == id;
  if (const auto* attempt = std::get_if<RecordAttempt>(&change)) {
    return attempt->record.id == id ||
           std::ranges::any_of(attempt->record.reports,
                               [id](const NewMessage& report) { return report.id == id; });
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
    std::size_t bytes = 0;
    for (const NewMessage& report : attempt->record.reports) bytes += content_bytes(report);
    return bytes;
  }
  return 0;
}

// What a change does; inside a transaction.
struct DoChange {
  QueueStore& store;

  Result<> operator()(InsertMessage& request) const {
    Result<> done = store.insert(request.message, request.token);
    request.message = {};  // not needed while the rest of the batch waits
    return done;
  }
  Result<> operator()(RecordAttempt& request) const { return store.record(request.record); }
  Result<> operator()(SetHeld& request) const { return store.set_held(request.id, request.held); }
  Result<> operator()(SetQuarantined& request) const {
    return store.set_quarantined(request.id, request.reason);
  }
  Result<> operator()(RemoveMessage& request) const { return store.remove(request.id); }
  Result<> operator()(SaveCounters& request) const {
    for (const auto& [name, value] : request.counters) {
      if (auto saved = store.save_counter(name, value); !saved) return saved;
    }
    return {};
  }
  Result<> operator()(KeepCounters& request) const {
    return store.keep_counters(request.prefix, request.kept);
  }
  Result<> operator()(auto&) const { POSTERN_ASSERT(false); }
};

// What is no change is done and answered at once.
struct AnswerQuestion {
  QueueStore& store;

  void operator()(AppendToSpool& request) const {
    answer(request.done, store.append_to_spool(request.token, request.sealed));
  }
  void operator()(DiscardSpool& request) const { store.discard_spool(request.token); }
  void operator()(LoadSummaries& request) const {
    answer(request.done, store.summaries(request.messages_max, request.after));
  }
  void operator()(LoadMessage& request) const { answer(request.done, store.load(request.id)); }
  void operator()(ReadBody& request) const {
    answer(request.done, store.read_body(request.id, request.offset, request.bytes_max));
  }
  void operator()(LoadCounters& request) const { answer(request.done, store.counters()); }
  void operator()(LoadFigures& request) const { answer(request.done, store.figures()); }
  void operator()(auto&) const { POSTERN_ASSERT(false); }

  template <class Value>
  static void answer(Callback<Result<Value>>& done, Result<Value> result) {
    if (done) done(std::move(result));
  }
};

struct TakeDone {
  Done operator()(auto& request) const {
    if constexpr (requires(Done done) { done = std::move(request.done); }) {
      return std::move(request.done);
    } else {
      return {};
    }
  }
};

// One transaction: what came of each change. No success among them unless the commit succeeded.
std::vector<Result<>> do_changes(QueueStore& store, std::span<StorageRequest> changes) {
  if (auto begun = store.begin(); !begun) return std::vector(changes.size(), begun);
  std::vector<Result<>> results;
  results.reserve(changes.size());
  for (StorageRequest& change : changes) {
    results.push_back(std::visit(DoChange{store}, change));
  }
  if (const auto committed = store.commit(); !committed) {
    for (Result<>& result : results) {
      if (result) result = committed;
    }
  }
  return results;
}

}  // namespace

struct StorageThread::Parts {
  Parts(std::unique_ptr<QueueStore> owned_store, Logger& to, Callback<Error> when_dead)
      : store(std::move(owned_store)), logger(to), on_dead(std::move(when_dead)) {}

  void run();
  void take(StorageRequest request);
  [[nodiscard]] bool must_commit_before(const StorageRequest& request) const;
  void commit_gathered();
  void retry_outcomes(std::vector<Result<>>& results);
  void begin_snapshot(TakeSnapshot request);
  void step_snapshot();
  void look_after_disk();
  void measure();
  void tell_reserve();
  void tell_death();

  std::unique_ptr<QueueStore> store;
  Logger& logger;
  Callback<Error> on_dead;
  bool death_told = false;
  bool reserve_held = true;  // as the log was told
  Mailbox<StorageRequest> mailbox{storage_requests_max};
  std::vector<StorageRequest> gathered;  // changes that wait for their commit
  std::size_t gathered_bytes = 0;
  bool gathered_urgent = false;
  std::chrono::steady_clock::time_point commit_due;
  std::chrono::steady_clock::time_point measure_due;
  std::atomic<std::uint64_t> room_bytes{0};
  std::atomic<std::uint64_t> queued_bytes{0};
  Callback<Result<std::string>> snapshot_done;  // of the one that is being made
  std::thread thread;
};

StorageThread::StorageThread(std::unique_ptr<QueueStore> store, Logger& logger,
                             Callback<Error> on_dead)
    : parts_(std::make_unique<Parts>(std::move(store), logger, std::move(on_dead))) {
  parts_->look_after_disk();
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

std::uint64_t StorageThread::room_bytes() const {
  return parts_->room_bytes.load(std::memory_order_relaxed);
}

std::uint64_t StorageThread::queued_bytes() const {
  return parts_->queued_bytes.load(std::memory_order_relaxed);
}

void StorageThread::Parts::run() {
  while (true) {
    auto wake = gathered.empty() ? measure_due : std::min(measure_due, commit_due);
    if (snapshot_done) wake = std::chrono::steady_clock::now();
    std::vector<StorageRequest> waiting = mailbox.wait_and_take_all(wake);
    const bool ending = waiting.empty() && mailbox.drained();
    if (ending && gathered.empty()) break;
    for (StorageRequest& request : waiting) take(std::move(request));
    const auto now = std::chrono::steady_clock::now();
    if (ending || gathered_urgent || now >= commit_due) commit_gathered();
    if (now >= measure_due) look_after_disk();
    step_snapshot();
  }
  if (snapshot_done) snapshot_done(fail(ErrorKind::busy, "make a snapshot", "the relay stops"));
}

void StorageThread::Parts::take(StorageRequest request) {
  if (!changes_the_queue(request)) {
    if (must_commit_before(request)) commit_gathered();
    if (auto* snapshot = std::get_if<TakeSnapshot>(&request))
      return begin_snapshot(std::move(*snapshot));
    std::visit(AnswerQuestion{*store}, request);
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
  std::vector<Result<>> results = do_changes(*store, gathered);
  retry_outcomes(results);
  for (std::size_t at = 0; at < gathered.size(); ++at) {
    if (Done done = std::visit(TakeDone{}, gathered[at])) done(std::move(results[at]));
  }
  gathered.clear();
  gathered_bytes = 0;
  gathered_urgent = false;
  look_after_disk();
  commit_due = std::chrono::steady_clock::now() + commit_interval;
}

// The commit found the disk full and the store has given up its reserve. New mail must not take
// that room and is refused; everything else is about mail that was promised, and is done once more.
void StorageThread::Parts::retry_outcomes(std::vector<Result<>>& results) {
  if (store->death() != nullptr) return;
  std::vector<StorageRequest> again;
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at < gathered.size(); ++at) {
    if (results[at] || results[at].error().kind != ErrorKind::no_space ||
        std::holds_alternative<InsertMessage>(gathered[at])) {
      continue;
    }
    again.push_back(std::move(gathered[at]));
    places.push_back(at);
  }
  if (again.empty()) return;
  std::vector<Result<>> second = do_changes(*store, again);
  for (std::size_t at = 0; at < places.size(); ++at) {
    gathered[places[at]] = std::move(again[at]);
    results[places[at]] = std::move(second[at]);
  }
}

void StorageThread::Parts::begin_snapshot(TakeSnapshot request) {
  const Result<> begun = store->begin_snapshot();
  if (!begun) return request.done(std::unexpected(begun.error()));
  snapshot_done = std::move(request.done);
}

// One step a turn: what was gathered, read and asked meanwhile comes between.
void StorageThread::Parts::step_snapshot() {
  if (!snapshot_done) return;
  Result<std::string> folder = store->step_snapshot();
  if (folder && folder->empty()) return;
  std::exchange(snapshot_done, {})(std::move(folder));
}

void StorageThread::Parts::look_after_disk() {
  store->maintain();
  measure();
  tell_reserve();
  tell_death();
  measure_due = std::chrono::steady_clock::now() + measure_interval;
}

void StorageThread::Parts::measure() {
  // On failure the figures of the last batch stay; a dead store refuses everything anyway.
  const Result<QueueFigures> figures = store->figures();
  if (!figures) return;
  room_bytes.store(figures->room_bytes, std::memory_order_relaxed);
  queued_bytes.store(figures->bytes, std::memory_order_relaxed);
}

void StorageThread::Parts::tell_reserve() {
  if (store->reserve_held() == reserve_held) return;
  reserve_held = store->reserve_held();
  if (reserve_held) {
    logger.event(LogLevel::notice, "reserve-held").field("bytes", reserve_bytes);
    return;
  }
  logger.event(LogLevel::error, "reserve-missing")
      .field("reason", "the file system that holds the state directory is full")
      .field("advice",
             "make room; until then new mail gets 452 and the room that was kept serves what is "
             "queued");
}

void StorageThread::Parts::tell_death() {
  const Error* death = store->death();
  if (death == nullptr || death_told) return;
  death_told = true;
  logger.event(LogLevel::error, "storage-dead").field("reason", death->text());
  if (on_dead) on_dead(*death);
}

}  // namespace postern::storage
