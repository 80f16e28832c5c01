// Requests and responses of the control socket; see the header.
#include "relay/control/protocol.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "relay/control/json.hpp"

namespace postern::control {

namespace {

enum class Target {
  none,       // "status"
  one,        // "id" must be there
  one_or_all  // "id" or "all":true, so that "everything" is never a slip
};

struct VerbRow {
  Verb verb;
  std::string_view name;
  Target target;
};

constexpr std::array<VerbRow, 10> verbs = {
    {{Verb::status, "status", Target::none},
     {Verb::reload, "reload", Target::none},
     {Verb::snapshot, "snapshot", Target::none},
     {Verb::health, "health", Target::none},
     {Verb::queue_list, "queue-list", Target::none},
     {Verb::queue_show, "queue-show", Target::one},
     {Verb::queue_retry, "queue-retry", Target::one_or_all},
     {Verb::queue_hold, "queue-hold", Target::one_or_all},
     {Verb::queue_release, "queue-release", Target::one_or_all},
     {Verb::queue_remove, "queue-remove", Target::one_or_all}}};

std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::invalid, "read a control request", std::move(detail));
}

// `text` as a string or nothing.
const std::string* text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

Result<> check_target(const Request& request, const VerbRow& row) {
  const bool id = request.id.has_value();
  switch (row.target) {
    case Target::none:
      if (id || request.all)
        return refuse(std::string(row.name) + " takes neither \"id\" nor \"all\"");
      break;
    case Target::one:
      if (!id || request.all) return refuse(std::string(row.name) + " needs an \"id\"");
      break;
    case Target::one_or_all:
      if (id == request.all)
        return refuse(std::string(row.name) + " needs either an \"id\" or \"all\":true");
      break;
  }
  return {};
}

}  // namespace

std::string_view verb_name(Verb verb) {
  for (const VerbRow& row : verbs) {
    if (row.verb == verb) return row.name;
  }
  return {};
}

std::string encode_request(const Request& request) {
  Json object;
  object["command"] = verb_name(request.verb);
  if (request.id) object["id"] = request.id->text();
  if (request.all) object["all"] = true;
  return write_json(object);
}

Result<Request> decode_request(std::string_view line) {
  if (line.size() > request_bytes_max) return refuse("it is longer than a request can be");
  const auto object = read_json(line, request_bytes_max);
  if (!object || !object->is_object()) return refuse("it is no JSON object");
  Request request;
  const VerbRow* row = nullptr;
  for (const auto& [key, value] : object->items()) {
    if (key == "command") {
      const std::string* name = value.get_ptr<const std::string*>();
      if (name == nullptr) return refuse("\"command\" is no text");
      const auto found = std::ranges::find(verbs, std::string_view(*name), &VerbRow::name);
      if (found == verbs.end())
        return refuse("the command is not known; it may be of another version");
      row = found;
    } else if (key == "id") {
      const std::string* text = value.get_ptr<const std::string*>();
      request.id = text == nullptr ? std::nullopt : QueueId::parse(*text);
      if (!request.id) return refuse("\"id\" is no queue id");
    } else if (key == "all") {
      if (!value.is_boolean()) return refuse("\"all\" is neither true nor false");
      request.all = value.get<bool>();
    } else {
      return refuse("it has a key that is not known; allowed are \"command\", \"id\" and \"all\"");
    }
  }
  if (row == nullptr) return refuse("it lacks \"command\"");
  request.verb = row->verb;
  if (auto checked = check_target(request, *row); !checked)
    return std::unexpected(std::move(checked).error());
  return request;
}

std::string encode_success(std::string_view result_json) {
  return R"({"ok":true,"result":)" + std::string(result_json) + '}';
}

std::string encode_failure(std::string_view error, std::string_view advice) {
  Json object;
  object["ok"] = false;
  object["error"] = error;
  object["advice"] = advice;
  return write_json(object);
}

Result<Response> decode_response(std::string_view line) {
  const auto refuse_response = [](std::string detail) {
    return fail(ErrorKind::invalid, "read the relay's answer", std::move(detail));
  };
  const auto object = read_json(line, response_bytes_max);
  if (!object || !object->is_object()) return refuse_response("it is no JSON object");
  const auto ok = object->find("ok");
  if (ok == object->end() || !ok->is_boolean()) return refuse_response("it lacks \"ok\"");
  Response response;
  response.ok = ok->get<bool>();
  if (response.ok) {
    const auto result = object->find("result");
    if (result == object->end()) return refuse_response("it lacks \"result\"");
    response.result_json = write_json(*result);
    return response;
  }
  const std::string* error = text_of(*object, "error");
  const std::string* advice = text_of(*object, "advice");
  if (error == nullptr || advice == nullptr)
    return refuse_response("it lacks \"error\" or \"advice\"");
  response.error = *error;
  response.advice = *advice;
  return response;
}

}  // namespace postern::control
