// The storage thread: owns the QueueStore, takes all that waits, makes one transaction of it, syncs
// once, and only then answers everybody (group commit).
//
// Promise: an answer of success to a change means durable. Commits of messages and of attempts come
// at most every commit_interval, so that a busy relay syncs its flash 40 times a second and not
// once a message, while a quiet one commits at once; reading and spooling wait for no commit, but
// see every change that was asked for before them. post() never blocks; false means full or
// stopping, and the caller answers 452 4.3.1 or 451. When one request of a batch fails (say, a
// duplicate id), only it fails; when the disk is full, new mail fails (no_space) and everything
// else is tried once more in the room that was kept for it; when the commit fails otherwise, all of
// the batch fail and the store is dead: every later request is answered with an io Error and
// on_dead runs once, which ends the daemon with a clear log line. Sharp edge: answers run on the
// storage thread; they must only hand the result on (net::Loop::post).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "relay/base/callback.hpp"
#include "relay/base/error.hpp"
#include "relay/base/log.hpp"
#include "storage/queue_store.hpp"

namespace postern::storage {

using Done = Callback<Result<>>;

// --- Requests. `done` may be empty where the asker does not care.
struct AppendToSpool {
  std::uint64_t token;
  Bytes sealed;
  Done done;  // an answer for each append: the caller's window for back-pressure
};
struct DiscardSpool {
  std::uint64_t token;
};
struct InsertMessage {
  NewMessage message;
  std::optional<std::uint64_t> token;
  Done done;
};
struct RecordAttempt {
  AttemptRecord record;
  Done done;
};
struct SetHeld {
  QueueId id;
  bool held;
  Done done;
};
struct SetQuarantined {
  QueueId id;
  std::string reason;
  Done done;
};
struct RemoveMessage {
  QueueId id;
  Done done;
};
struct SaveCounters {
  std::vector<std::pair<std::string, std::string>> counters;
  Done done;
};
struct KeepCounters {  // see QueueStore::keep_counters
  std::string prefix;
  std::vector<std::string> kept;
  Done done;
};
struct LoadSummaries {
  std::size_t messages_max;
  QueueId after;
  Callback<Result<std::vector<MessageSummary>>> done;
};
struct LoadMessage {
  QueueId id;
  Callback<Result<StoredMessage>> done;
};
struct ReadBody {
  QueueId id;
  std::uint64_t offset;
  std::size_t bytes_max;
  Callback<Result<Bytes>> done;
};
struct LoadCounters {
  Callback<Result<std::vector<std::pair<std::string, std::string>>>> done;
};
struct LoadFigures {
  Callback<Result<QueueFigures>> done;
};
// A copy of the queue for a backup, made in steps between the commits (snapshot.hpp); answered with
// its folder.
struct TakeSnapshot {
  Callback<Result<std::string>> done;
};
using StorageRequest =
    std::variant<AppendToSpool, DiscardSpool, InsertMessage, RecordAttempt, SetHeld, SetQuarantined,
                 RemoveMessage, SaveCounters, KeepCounters, LoadSummaries, LoadMessage, ReadBody,
                 LoadCounters, LoadFigures, TakeSnapshot>;

// The time from one commit to the next under load: little beside what a signature and a handshake
// take, enough to gather what comes meanwhile. A commit of SD cards takes as long by itself.
inline constexpr std::chrono::milliseconds commit_interval{25};
inline constexpr std::size_t storage_requests_max = 8'192;  // waiting at once, over all threads

class StorageThread {
 public:
  StorageThread(std::unique_ptr<QueueStore> store, Logger& logger, Callback<Error> on_dead);
  ~StorageThread();  // stop()
  [[nodiscard]] bool post(StorageRequest request);
  // Finishes what waits, commits, ends the thread. Idempotent.
  void stop();
  // Octets that new mail may still take of the file system, measured within the last second, and
  // octets queued; cheap, from any thread, so that MAIL can be answered 452 4.3.1 without a round
  // trip.
  [[nodiscard]] std::uint64_t room_bytes() const;
  [[nodiscard]] std::uint64_t queued_bytes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::storage
