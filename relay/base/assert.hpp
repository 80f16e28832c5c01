// POSTERN_ASSERT: an always-on check for a programmer's error.
//
// Promise: when the condition is false the process ends at once with one line on standard error;
// the supervisor restarts it and the queue is safe. Sharp edge: never for something a peer, a disk
// or a configuration can cause; those are Results.
#pragma once

namespace postern {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}  // namespace postern

#define POSTERN_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::postern::assertion_failed(#condition, __FILE__, __LINE__))
