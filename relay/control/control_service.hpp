// The daemon's side of the control socket: requests of the operator's command, answered from the
// store and by the parts that own what is asked for.
//
// Promise: every request is answered, also wrong ones; a list holds at most
// messages_listed_max messages and messages_listed_bytes_max octets, and how many more there are.
// Sharp edge: siblings do not know each other (relay/README.md, "Floors"), so what delivery and the
// service can do comes in as ControlActions.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/log.hpp"
#include "relay/control/json.hpp"
#include "relay/control/protocol.hpp"
#include "relay/control/views.hpp"
#include "relay/net/local_socket.hpp"
#include "relay/net/loop.hpp"
#include "relay/queue/operator_view.hpp"
#include "storage/storage_thread.hpp"

namespace postern::control {

inline constexpr std::size_t messages_listed_max = 1'000;
// A thousand messages of 100 recipients with long replies are tens of MiB; the command takes
// local_answer_bytes_max. A message that does not fit any more is only counted.
inline constexpr std::size_t messages_listed_bytes_max = 8 << 20;
static_assert(messages_listed_bytes_max <= net::local_answer_bytes_max / 2);
static_assert(response_bytes_max == net::local_answer_bytes_max);

// Each answers on the control service's loop. A reload answers with the settings that wait for a
// restart.
struct ControlActions {
  std::function<void(Callback<Result<StatusFacts>>)> status;
  std::function<void(queue::QueueChange, std::optional<QueueId>,
                     Callback<Result<queue::QueueChangeCount>>)>
      change;
  std::function<void(Callback<Result<std::vector<std::string>>>)> reload;
  std::function<void(Callback<Result<queue::HealthFacts>>)> health;
};

class ControlService {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ControlService>> listen(
      net::Loop& loop, const std::string& path, storage::StorageThread& storage,
      ControlActions actions);
  ~ControlService();

 private:
  using Answer = net::LocalServer::Answer;
  ControlService(net::Loop& loop, storage::StorageThread& storage, ControlActions actions);
  void answer_line(std::string_view line, Answer answer);
  void answer_status(Answer answer);
  void answer_list(Answer answer);
  void answer_show(QueueId id, Answer answer);
  void answer_change(const Request& request, Answer answer);
  void answer_reload(Answer answer);
  void answer_snapshot(Answer answer);
  void answer_health(Answer answer);
  struct Listing;
  void load_next(const std::shared_ptr<Listing>& listing);

  net::Loop& loop_;
  storage::StorageThread& storage_;
  ControlActions actions_;
  std::unique_ptr<net::LocalServer> server_;
  // Answers from the storage thread ask this, on the loop, before they touch `this`.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::control
