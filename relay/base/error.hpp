// The one shape of an operating error: a value that says what was tried and what came of it.
//
// Promise: every function that can fail because of the world (disk, network, configuration, a peer)
// returns a Result, and no exception crosses a function of ours. Sharp edge: an Error is for
// operators and logs. It is never sent to a client; protocol outcomes (replies, verdicts) are
// ordinary data and have own types.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

// What a caller may want to tell apart; everything else is in the words.
enum class ErrorKind {
  invalid,      // the input breaks a rule
  not_found,    // it is not there
  exists,       // it is there already
  denied,       // permissions or policy
  no_space,     // disk, quota or a bound of ours is full
  io,           // the operating system or the medium failed
  corrupt,      // stored bytes are not what we wrote
  busy,         // try later
  timeout,      // it took too long
  unsupported,  // a version or a feature we do not have
};

struct [[nodiscard]] Error {
  ErrorKind kind;
  std::string operation;  // what was tried, with its object: "open /var/lib/postern/queue.db"
  std::string detail;     // why it failed, and what to do where we know it

  [[nodiscard]] std::string text() const { return operation + ": " + detail; }
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string operation,
                                                 std::string detail) {
  return std::unexpected(Error{kind, std::move(operation), std::move(detail)});
}

// An Error from errno: ENOSPC and EDQUOT become no_space, ENOENT not_found, EEXIST exists, EACCES
// and EPERM denied, everything else io.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string operation, int error_number);

}  // namespace postern
