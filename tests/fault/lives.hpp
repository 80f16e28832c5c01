// Whole lives of a queue, each told by its seed: born on an empty disk, cut off several times.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fault/workload.hpp"

namespace postern::fault {

struct LifeOutcome {
  std::uint64_t cuts = 0;
  std::uint64_t cuts_while_opening = 0;       // a new database, recovery
  std::uint64_t cuts_around_checkpoints = 0;  // in one or right after it
  std::uint64_t changes = 0;                  // that the disk saw in all
  std::string violation;                      // nothing: the promise held
};

// Power cuts at chosen or random moments, the store used directly.
[[nodiscard]] LifeOutcome live(const RealFolder& folder, std::uint64_t seed, Mutant mutant);
// As above by way of the storage thread, many requests in one commit.
[[nodiscard]] LifeOutcome live_with_thread(const RealFolder& folder, std::uint64_t seed);

// One run with a fault; `met` tells whether the run was long enough for the plan's nth operation.
struct FaultOutcome {
  bool met = false;
  std::string violation;
};
enum class Stage : std::uint8_t { whole_run, checkpoint };
[[nodiscard]] FaultOutcome live_with_fault(const RealFolder& folder, std::uint64_t seed,
                                           const FaultPlan& plan, Stage stage,
                                           Mutant mutant = Mutant::none);

}  // namespace postern::fault
