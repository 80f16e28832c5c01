// Errors of the operating system in our own shape.
#include "relay/base/error.hpp"

#include <cerrno>
#include <system_error>

namespace postern {

std::unexpected<Error> fail_errno(std::string operation, int error_number) {
  ErrorKind kind = ErrorKind::io;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      kind = ErrorKind::no_space;
      break;
    case ENOENT:
      kind = ErrorKind::not_found;
      break;
    case EEXIST:
      kind = ErrorKind::exists;
      break;
    case EACCES:
    case EPERM:
      kind = ErrorKind::denied;
      break;
    default:
      break;
  }
  // generic_category: strerror is not safe between threads.
  return fail(kind, std::move(operation), std::generic_category().message(error_number));
}

}  // namespace postern
