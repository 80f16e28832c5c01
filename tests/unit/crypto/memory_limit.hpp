// Leaves the process only so much more memory than it has, as long as the object lives.
//
// Sharp edge: a new thread's stack counts too, so threads that are needed meanwhile must be there
// before.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace postern {

class MemoryLimit {
 public:
  explicit MemoryLimit(std::size_t octets_left) {
    EXPECT_EQ(::getrlimit(RLIMIT_AS, &before_), 0);
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit tight = before_;
    tight.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + octets_left;
    EXPECT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
  ~MemoryLimit() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

}  // namespace postern
