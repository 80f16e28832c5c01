// Finds secrets in memory that is given back: the test program's own operator delete looks through
// each block before it is freed.
//
//   FreedMemoryWatch watch({"hunter2"});
//   …
//   EXPECT_EQ(watch.found(), "");
//
// Sharp edge: compiled into a test program, freed_memory.cpp replaces its operator new and delete.
// One watch at a time. What malloc and free are called for directly (C libraries) is not seen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern {

class FreedMemoryWatch {
 public:
  enum class Threads { all, others };  // others: not the one that watches, whose test knows it too
  explicit FreedMemoryWatch(std::vector<std::string_view> secrets, Threads threads = Threads::all);
  ~FreedMemoryWatch();
  FreedMemoryWatch(const FreedMemoryWatch&) = delete;
  FreedMemoryWatch& operator=(const FreedMemoryWatch&) = delete;
  // The secrets that were seen in freed memory, with a space between; empty when none was.
  [[nodiscard]] std::string found() const;

 private:
  std::vector<std::string_view> secrets_;
};

}  // namespace postern
