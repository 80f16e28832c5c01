// What a person changes in the queue: retry, hold, release, remove.
//
// Promise: a change is answered when the store has it, and the scheduler never hands out a message
// while its hold or its removal is on the way to the disk; what the store refuses is taken back and
// told. Sharp edge: the store may answer after the message was relayed; then the change finds
// nothing and says so.
#include <utility>

#include "relay/delivery/delivery_engine.hpp"

namespace postern::delivery {
namespace {

std::string_view name_of(QueueChange change) {
  switch (change) {
    case QueueChange::retry:
      return "retry";
    case QueueChange::hold:
      return "hold";
    case QueueChange::release:
      return "release";
    case QueueChange::remove:
      break;
  }
  return "remove";
}

std::unexpected<Error> refuse(ErrorKind kind, QueueId id, std::string why) {
  return fail(kind, "message " + id.text(), std::move(why));
}

}  // namespace

bool DeliveryEngine::ask_change(net::Loop& home, QueueChange what, std::optional<QueueId> id,
                                Callback<Result<QueueChangeCount>> answer) {
  return loop_->post([this, &home, what, id, answer = std::move(answer)]() mutable {
    const std::uint64_t number = ++last_change_;
    auto ids = id ? std::vector{*id} : scheduler_.ids();
    changes_.emplace(number, Change{.home = home,
                                    .what = what,
                                    .all = !id,
                                    .answer = std::move(answer),
                                    .ids = std::move(ids),
                                    .count = {},
                                    .first_error = {}});
    continue_change(number);
  });
}

void DeliveryEngine::continue_change(std::uint64_t number) {
  const auto found = changes_.find(number);
  if (found == changes_.end()) return;
  Change& change = found->second;
  while (change.next < change.ids.size() && change.in_flight < changes_in_flight_max) {
    const QueueId id = change.ids[change.next++];
    if (const auto done = begin_change(number, change.what, id)) {
      note_change(change, id, *done);
    } else {
      ++change.in_flight;
    }
  }
  if (change.in_flight > 0) return;
  Result<QueueChangeCount> result = std::move(change.count);
  if (result->changed == 0 && change.first_error) result = std::unexpected(*change.first_error);
  static_cast<void>(
      change.home.post([answer = std::move(change.answer), result = std::move(result)]() mutable {
        answer(std::move(result));
      }));
  changes_.erase(found);
  tick();
}

std::optional<Result<>> DeliveryEngine::begin_change(std::uint64_t number, QueueChange what,
                                                     QueueId id) {
  const bool known = scheduler_.knows(id);
  const bool was_held = scheduler_.held(id);
  // A quarantined message is in the store and not in the scheduler; a person may still remove it.
  if (!known && what != QueueChange::remove) {
    return refuse(ErrorKind::not_found, id, "it does not wait in the queue");
  }
  if (what == QueueChange::retry) {
    if (was_held) return refuse(ErrorKind::invalid, id, "it is held; release it first");
    for (auto& [name, pool] : pools_) pool->forget_trouble();
    scheduler_.retry_now(id, read_clocks().monotonic);
    return Result<>{};
  }
  if (what == QueueChange::release && !was_held) {
    return refuse(ErrorKind::invalid, id, "it is not held");
  }
  if (what == QueueChange::remove && scheduler_.being_tried(id)) {
    return refuse(ErrorKind::busy, id, "it is being delivered right now; hold it, then remove it");
  }
  if (what != QueueChange::release) scheduler_.hold(id);  // until the store has answered
  storage::Done done = [this, number, id, was_held](Result<> result) {
    static_cast<void>(loop_->post([this, number, id, was_held, result = std::move(result)] {
      change_stored(number, id, was_held, result);
    }));
  };
  storage::StorageRequest request =
      what == QueueChange::remove
          ? storage::StorageRequest(storage::RemoveMessage{id, std::move(done)})
          : storage::StorageRequest(
                storage::SetHeld{id, what == QueueChange::hold, std::move(done)});
  if (services_.storage.post(std::move(request))) return std::nullopt;
  if (what != QueueChange::release && !was_held) scheduler_.undo_hold(id);
  return refuse(ErrorKind::busy, id, "the queue on disk is too busy to take the change; try again");
}

void DeliveryEngine::change_stored(std::uint64_t number, QueueId id, bool was_held,
                                   const Result<>& result) {
  const auto found = changes_.find(number);
  if (found == changes_.end()) return;
  Change& change = found->second;
  const bool gone = !result && result.error().kind == ErrorKind::not_found;
  if (change.what == QueueChange::remove && (result || gone)) {
    scheduler_.finished(id);
  } else if (change.what == QueueChange::release) {
    if (result) scheduler_.release(id, read_clocks().monotonic);
  } else if (!result && !was_held) {
    scheduler_.undo_hold(id);
  }
  note_change(change, id, result);
  --change.in_flight;
  continue_change(number);
}

void DeliveryEngine::note_change(Change& change, QueueId id, const Result<>& result) {
  if (result) {
    ++change.count.changed;
    services_.log.event(LogLevel::notice, "queue-changed-by-operator")
        .field("queue_id", id.text())
        .field("change", name_of(change.what));
    return;
  }
  // Of "all" those are meant that the change applies to: not the held ones of a retry, nor one that
  // was relayed meanwhile.
  const ErrorKind kind = result.error().kind;
  if (change.all && (kind == ErrorKind::invalid || kind == ErrorKind::not_found)) return;
  ++change.count.failed;
  if (!change.first_error) {
    change.first_error = result.error();
    change.count.first_failure = result.error().text();
  }
}

}  // namespace postern::delivery
