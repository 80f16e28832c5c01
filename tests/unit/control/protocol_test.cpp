// The control socket's words, both ways.
#include <gtest/gtest.h>

#include "relay/control/protocol.hpp"

namespace postern::control {
namespace {

constexpr Verb all_verbs[] = {
    Verb::status,     Verb::reload,      Verb::health,     Verb::snapshot,      Verb::queue_list,
    Verb::queue_show, Verb::queue_retry, Verb::queue_hold, Verb::queue_release, Verb::queue_remove};

QueueId some_id() { return QueueId{0x0123456789abcdefULL}; }

bool takes_id(Verb verb) {
  return verb != Verb::status && verb != Verb::reload && verb != Verb::snapshot &&
         verb != Verb::health && verb != Verb::queue_list;
}

TEST(ControlRequest, ReadsBackAsWritten) {
  for (const Verb verb : all_verbs) {
    Request request{verb, std::nullopt, false};
    if (takes_id(verb)) request.id = some_id();
    const auto decoded = decode_request(encode_request(request));
    ASSERT_TRUE(decoded) << verb_name(verb) << ": " << decoded.error().text();
    EXPECT_EQ(decoded->verb, verb);
    EXPECT_EQ(decoded->id, request.id);
    EXPECT_FALSE(decoded->all);
  }
  const auto everything = decode_request(encode_request({Verb::queue_retry, std::nullopt, true}));
  ASSERT_TRUE(everything);
  EXPECT_TRUE(everything->all);
}

TEST(ControlRequest, IsWrittenAsTheHeaderShows) {
  EXPECT_EQ(encode_request({Verb::queue_list, std::nullopt, false}), R"({"command":"queue-list"})");
}

TEST(ControlRequest, AChangeOfTheQueueNeedsOneIdOrAllAndNeverBoth) {
  EXPECT_FALSE(decode_request(R"({"command":"queue-remove"})"));
  EXPECT_FALSE(decode_request(R"({"command":"queue-remove","all":false})"));
  EXPECT_FALSE(decode_request(encode_request({Verb::queue_remove, some_id(), true})));
  EXPECT_FALSE(decode_request(encode_request({Verb::queue_show, std::nullopt, true})));
  EXPECT_FALSE(decode_request(encode_request({Verb::status, some_id(), false})));
  EXPECT_FALSE(decode_request(encode_request({Verb::reload, std::nullopt, true})));
}

TEST(ControlRequest, RefusesWhatItDoesNotKnow) {
  for (const std::string_view line :
       {"", "null", "[]", "\"status\"", "{", R"({"command":"nonsense"})", R"({"command":5})",
        R"({"id":"x"})", R"({"command":"status","extra":1})",
        R"({"command":"queue-show","id":"not-an-id"})", R"({"command":"queue-show","id":7})",
        R"({"command":"queue-hold","all":"yes"})", R"({"command":"status"} x)"}) {
    EXPECT_FALSE(decode_request(line)) << line;
  }
}

TEST(ControlRequest, IsBoundedInLengthAndDepth) {
  EXPECT_FALSE(decode_request(R"({"command":"status")" + std::string(5'000, ' ') + "}"));
  EXPECT_FALSE(decode_request(std::string(4'000, '[')));
}

TEST(ControlResponse, CarriesAResult) {
  const auto response = decode_response(encode_success(R"({"changed":1})"));
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->ok);
  EXPECT_EQ(response->result_json, R"({"changed":1})");
}

TEST(ControlResponse, CarriesAFailureWithItsAdvice) {
  const auto response = decode_response(encode_failure("there is no \"x\"\n", "look again"));
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->ok);
  EXPECT_EQ(response->error, "there is no \"x\"\n");
  EXPECT_EQ(response->advice, "look again");
}

TEST(ControlResponse, IsOneLineEvenWithLineFeedsAndBrokenUtf8Inside) {
  const std::string line = encode_failure("a\nb\xff", "c");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto response = decode_response(line);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error, "a\nb\xef\xbf\xbd");
}

TEST(ControlResponse, RefusesWhatIsNone) {
  for (const std::string_view line :
       {"", "[]", "{}", R"({"ok":1})", R"({"ok":true})", R"({"ok":false})",
        R"({"ok":false,"error":"x"})", R"({"ok":false,"error":1,"advice":"x"})"}) {
    EXPECT_FALSE(decode_response(line)) << line;
  }
  EXPECT_FALSE(decode_response(R"({"ok":true,"result":)" + std::string(1'000'000, '[')));
  EXPECT_FALSE(decode_response(R"({"ok":true,"result":)" + std::string(100, '[') +
                               std::string(100, ']') + "}"));
}

}  // namespace
}  // namespace postern::control
