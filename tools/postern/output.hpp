// What a command comes to, and how it is told: a text for people, a JSON document for scripts.
//
// Promise: every failure carries what to do next; text that came from a peer is printable ASCII
// before a terminal sees it; lines made here fit 80 columns. Sharp edge: JSON is built without
// exceptions (the protocol's library is compiled so), so keys are read through text_at() and
// number_at() only.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/control/json.hpp"

namespace postern::tools {

using Json = control::Json;

inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_half = 3;      // restore: the old has moved, the new is not in its place
inline constexpr int exit_unusable = 4;  // restore: all is in its place; the relay refuses it
inline constexpr std::size_t columns_max = 80;

struct Failure {
  std::string error;
  std::string advice;  // a sentence: what to do
  int exit_code = exit_failed;
};

struct Report {
  std::string text;  // for people, with its line feeds
  Json json;
  std::string warning;  // for people, on standard error; in the JSON under a key of its own
  int exit_code = 0;
};

template <class T = Report>
using Outcome = std::expected<T, Failure>;

[[nodiscard]] std::unexpected<Failure> stop(std::string error, std::string advice);
// An Error with the advice that fits its kind.
[[nodiscard]] std::unexpected<Failure> stop(const Error& error);

// Writes the report or the failure and returns the exit code; wipes what it wrote, which may hold a
// password.
[[nodiscard]] int print(Outcome<> outcome, bool json);
void print_failure(const Failure& failure, bool json);

[[nodiscard]] std::string printable(std::string_view peer_text);
// columns_max on a terminal; what is piped on is never cut.
[[nodiscard]] std::size_t columns_available();
[[nodiscard]] std::string fitted(std::string text,
                                 std::size_t columns = columns_available());     // cut with "..."
[[nodiscard]] std::string counted(std::uint64_t number, std::string_view what);  // "1 message"
// Problems of a configuration, a line each, without control characters.
[[nodiscard]] std::string readable_lines(std::string_view text);
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);  // "12.3 MB"
[[nodiscard]] std::string table(
    const std::vector<std::vector<std::string>>& rows);  // first row: titles

[[nodiscard]] std::string text_at(const Json& object, const char* key);  // empty when it is no text
[[nodiscard]] std::uint64_t number_at(const Json& object, const char* key);
[[nodiscard]] bool flag_at(const Json& object, const char* key);
[[nodiscard]] const Json& list_at(const Json& object,
                                  const char* key);  // an empty list when it is none

}  // namespace postern::tools
