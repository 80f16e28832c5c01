// What the operator's command and the daemon say to each other over the control socket: one JSON
// object a line in each direction.
//
//   {"command":"queue-list"}                        ->
//   {"ok":true,"result":{"messages":[…],"more":0}}
//   {"command":"queue-hold","id":"0ABC…"}           -> {"ok":true,"result":{"changed":1}}
//   {"command":"nonsense"}                          -> {"ok":false,"error":"…","advice":"…"}
//
// Commands: status, reload, health, snapshot (of the queue, for a backup), queue-list, queue-show,
// queue-retry, queue-hold, queue-release, queue-remove; the queue-* ones that change something take
// "id" or "all":true. Promise: unknown commands and keys are answered with an error; text from
// peers is escaped by JSON and again by the command before a terminal sees it. Sharp edge: the
// daemon trusts whoever can open the socket (mode 0600), nobody else.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "relay/base/error.hpp"
#include "relay/base/queue_id.hpp"

namespace postern::control {

enum class Verb {
  status,
  reload,
  snapshot,
  health,
  queue_list,
  queue_show,
  queue_retry,
  queue_hold,
  queue_release,
  queue_remove
};

struct Request {
  Verb verb = Verb::status;
  std::optional<QueueId> id;  // nothing and `all` for every message
  bool all = false;
};

[[nodiscard]] std::string_view verb_name(Verb verb);  // "queue-list"
[[nodiscard]] std::string encode_request(const Request& request);
[[nodiscard]] Result<Request> decode_request(std::string_view line);  // bounded, strict

// `result_json` is a JSON value's text.
[[nodiscard]] std::string encode_success(std::string_view result_json);
[[nodiscard]] std::string encode_failure(std::string_view error, std::string_view advice);

struct Response {
  bool ok = false;
  std::string result_json;  // when ok
  std::string error;
  std::string advice;
};
[[nodiscard]] Result<Response> decode_response(std::string_view line);

}  // namespace postern::control
