// Another program takes the last octet of the disk, at any moment. Mail that was promised is still
// recorded as relayed in the room that was kept for it, and the store lives on.
#include <gtest/gtest.h>

#include "tests/fault/options.hpp"
#include "tests/fault/workload.hpp"

namespace postern::fault {
namespace {

constexpr std::uint64_t operations_max = 100'000;

struct Drained {
  bool met = false;
  std::string violation;
};

// The disk is full from the nth operation on until the reserve is given up.
Drained drain_when_full_from(std::uint64_t nth, bool with_full_log) {
  const RealFolder folder;
  Client client(folder, options().seed);
  if (!client.open()) return {false, client.violation()};
  client.run(30);
  if (with_full_log) client.fill_log();
  client.disk().plan_fault({Fault::no_space, nth, true, true});
  client.drain();
  const bool met = client.disk().fault_met();
  client.disk().heal();
  client.store()->maintain();
  if (!client.store()->reserve_held()) client.complain("the reserve is not taken again");
  client.disk().freeze();
  client.close();
  client.disk().power_cut_that_keeps_nothing();
  if (client.violation().empty() && client.open()) client.check_integrity();
  return {met, client.violation()};
}

std::uint64_t sweep(bool with_full_log, std::uint64_t stride) {
  std::uint64_t met = 0;
  for (std::uint64_t nth = 1; nth < operations_max; nth += stride) {
    const Drained drained = drain_when_full_from(nth, with_full_log);
    EXPECT_EQ(drained.violation, "") << "full from operation " << nth << " on";
    if (!drained.violation.empty() || !drained.met) return met;
    ++met;
  }
  ADD_FAILURE() << "the run never gets clean";
  return met;
}

TEST(FullDisk, DrainsTheQueueWhenItIsFullFromAnyMomentOn) { EXPECT_GT(sweep(false, 1), 20U); }

// Each run writes 10 MB: of a thousand equal writes a share is enough.
TEST(FullDisk, CopiesTheLogBackInTheReserve) { EXPECT_GT(sweep(true, 4 * options().every), 5U); }

}  // namespace
}  // namespace postern::fault
