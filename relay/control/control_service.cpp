// Answering the operator's command.
#include "relay/control/control_service.hpp"

#include <utility>
#include <vector>

namespace postern::control {
namespace {

std::string busy() {
  return encode_failure("the relay is too busy to look", "try again in a moment");
}

queue::QueueChange change_of(Verb verb) {
  switch (verb) {
    case Verb::queue_retry:
      return queue::QueueChange::retry;
    case Verb::queue_hold:
      return queue::QueueChange::hold;
    case Verb::queue_release:
      return queue::QueueChange::release;
    default:
      return queue::QueueChange::remove;
  }
}

}  // namespace

Result<std::unique_ptr<ControlService>> ControlService::listen(net::Loop& loop,
                                                               const std::string& path,
                                                               storage::StorageThread& storage,
                                                               ControlActions actions) {
  std::unique_ptr<ControlService> service(new ControlService(loop, storage, std::move(actions)));
  auto server = net::LocalServer::listen(
      loop, path, [raw = service.get()](std::string_view line, Answer answer) {
        raw->answer_line(line, std::move(answer));
      });
  if (!server) return std::unexpected(server.error());
  service->server_ = std::move(*server);
  return service;
}

ControlService::ControlService(net::Loop& loop, storage::StorageThread& storage,
                               ControlActions actions)
    : loop_(loop), storage_(storage), actions_(std::move(actions)) {}

ControlService::~ControlService() { *alive_ = false; }

void ControlService::answer_line(std::string_view line, Answer answer) {
  const auto request = decode_request(line);
  if (!request) {
    answer(encode_failure(request.error().text(),
                          "use the `postern` command of the same version as the relay"));
    return;
  }
  switch (request->verb) {
    case Verb::status:
      answer_status(std::move(answer));
      return;
    case Verb::reload:
      answer_reload(std::move(answer));
      return;
    case Verb::snapshot:
      answer_snapshot(std::move(answer));
      return;
    case Verb::health:
      answer_health(std::move(answer));
      return;
    case Verb::queue_list:
      answer_list(std::move(answer));
      return;
    case Verb::queue_show:
      if (request->id) {
        answer_show(*request->id, std::move(answer));
      } else {
        answer(encode_failure("no message named",
                              "give its queue id, as `postern queue list` shows it"));
      }
      return;
    case Verb::queue_retry:
    case Verb::queue_hold:
    case Verb::queue_release:
    case Verb::queue_remove:
      answer_change(*request, std::move(answer));
      return;
  }
}

void ControlService::answer_reload(Answer answer) {
  actions_.reload([answer =
                       std::move(answer)](Result<std::vector<std::string>> restart_needed) mutable {
    answer(restart_needed ? encode_success(reload_json(*restart_needed))
                          : encode_failure(restart_needed.error().text(),
                                           "mend the configuration; the old one stays in force"));
  });
}

void ControlService::answer_snapshot(Answer answer) {
  auto kept = std::make_shared<Answer>(std::move(answer));  // for the case that the store is full
  storage::TakeSnapshot request;
  request.done = [&loop = loop_, kept](Result<std::string> folder) {
    static_cast<void>(loop.post([kept, folder = std::move(folder)] {
      (*kept)(folder ? encode_success(snapshot_json(*folder))
                     : encode_failure(folder.error().text(), "make room or wait, then try again"));
    }));
  };
  if (!storage_.post(std::move(request))) (*kept)(busy());
}

void ControlService::answer_status(Answer answer) {
  actions_.status([answer = std::move(answer)](Result<StatusFacts> facts) mutable {
    answer(facts ? encode_success(status_json(*facts))
                 : encode_failure(facts.error().text(), "try again; then look at the log"));
  });
}

void ControlService::answer_health(Answer answer) {
  actions_.health([answer = std::move(answer)](Result<queue::HealthFacts> facts) mutable {
    answer(facts ? encode_success(health_json(*facts))
                 : encode_failure(facts.error().text(), "try again in a moment"));
  });
}

void ControlService::answer_change(const Request& request, Answer answer) {
  if (!request.id && !request.all) {
    answer(encode_failure("no message named", "give a queue id, or --all"));
    return;
  }
  actions_.change(
      change_of(request.verb), request.id,
      [answer = std::move(answer)](Result<queue::QueueChangeCount> changed) mutable {
        if (changed) {
          answer(encode_success(change_json(*changed)));
        } else if (changed.error().kind == ErrorKind::busy) {
          answer(encode_failure(changed.error().text(), "try again in a moment"));
        } else {
          answer(encode_failure(changed.error().text(), "look at `postern queue list`"));
        }
      });
}

void ControlService::answer_show(QueueId id, Answer answer) {
  auto kept = std::make_shared<Answer>(std::move(answer));  // for the case that the store is full
  storage::LoadMessage request{id, {}};
  request.done = [&loop = loop_, kept](Result<storage::StoredMessage> message) {
    static_cast<void>(loop.post([kept, message = std::move(message)] {
      (*kept)(message ? encode_success(message_json(*message))
                      : encode_failure(message.error().text(), "look at `postern queue list`"));
    }));
  };
  if (!storage_.post(std::move(request))) (*kept)(busy());
}

struct ControlService::Listing {
  Answer answer;
  std::uint64_t queued = 0;  // in all
  std::vector<storage::MessageSummary> summaries;
  std::size_t next = 0;
  std::string messages;  // JSON, joined by commas
  std::uint64_t left_out = 0;

  void add(const storage::StoredMessage& message) {
    const std::string text = message_json(message);
    if (messages.size() + 1 + text.size() > messages_listed_bytes_max) {
      ++left_out;
      return;
    }
    if (!messages.empty()) messages += ',';
    messages += text;
  }
  [[nodiscard]] std::string result() const {
    const std::uint64_t beyond = queued > summaries.size() ? queued - summaries.size() : 0;
    return messages_json(messages, left_out + beyond);
  }
};

void ControlService::answer_list(Answer answer) {
  auto listing = std::make_shared<Listing>();  // handed from answer to answer; one owner at a time
  listing->answer = std::move(answer);
  // The store answers in order, so the number is there before the summaries are.
  storage::LoadFigures figures{[&loop = loop_, listing](Result<storage::QueueFigures> loaded) {
    if (!loaded) return;  // the summaries will fail, too
    static_cast<void>(
        loop.post([listing, queued = loaded->messages] { listing->queued = queued; }));
  }};
  if (!storage_.post(std::move(figures))) return listing->answer(busy());
  storage::LoadSummaries request{messages_listed_max, QueueId{}, {}};
  request.done = [this, alive = alive_, &loop = loop_,
                  listing](Result<std::vector<storage::MessageSummary>> summaries) {
    static_cast<void>(loop.post([this, alive, listing, summaries = std::move(summaries)]() mutable {
      if (!*alive) return;
      if (!summaries) {
        listing->answer(encode_failure(summaries.error().text(), "look at the log of posternd"));
        return;
      }
      listing->summaries = std::move(*summaries);
      load_next(listing);
    }));
  };
  if (!storage_.post(std::move(request))) listing->answer(busy());
}

void ControlService::load_next(const std::shared_ptr<Listing>& listing) {
  if (listing->next == listing->summaries.size()) {
    listing->answer(encode_success(listing->result()));
    return;
  }
  storage::LoadMessage request{listing->summaries[listing->next++].id, {}};
  request.done = [this, alive = alive_, &loop = loop_,
                  listing](Result<storage::StoredMessage> message) {
    static_cast<void>(loop.post([this, alive, listing, message = std::move(message)]() mutable {
      if (!*alive) return;
      if (message) listing->add(*message);  // else: relayed meanwhile
      load_next(listing);
    }));
  };
  if (!storage_.post(std::move(request))) listing->answer(busy());
}

}  // namespace postern::control
