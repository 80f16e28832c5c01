// The rig must be able to fail: each deliberate mistake is seen by the same lives that find nothing
// wrong with the queue as it is.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/fault/lives.hpp"
#include "tests/fault/options.hpp"

namespace postern::fault {
namespace {

constexpr std::uint64_t lives_max = 400;

void tell(std::uint64_t seed, const std::string& violation) {
  std::printf("life %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
}

// What the first life that shows the mistake says; nothing when none does. The same life without
// the mistake must be flawless.
std::string first_violation(Mutant mutant) {
  const RealFolder folder;
  for (std::uint64_t seed = options().seed; seed < options().seed + lives_max; ++seed) {
    const LifeOutcome outcome = live(folder, seed, mutant);
    if (outcome.violation.empty()) continue;
    tell(seed, outcome.violation);
    EXPECT_EQ(live(folder, seed, Mutant::none).violation, "");
    return outcome.violation;
  }
  return "";
}

// As above with the nth sync failing.
std::string first_violation_at_failed_sync(Mutant mutant) {
  const RealFolder folder;
  for (std::uint64_t seed = options().seed; seed < options().seed + lives_max; ++seed) {
    FaultOutcome outcome{true, ""};
    for (std::uint64_t nth = 1; outcome.met; ++nth) {
      const FaultPlan plan{Fault::failed_sync, nth, false};
      outcome = live_with_fault(folder, seed, plan, Stage::whole_run, mutant);
      if (outcome.violation.empty()) continue;
      tell(seed, outcome.violation);
      EXPECT_EQ(live_with_fault(folder, seed, plan, Stage::whole_run).violation, "");
      return outcome.violation;
    }
  }
  return "";
}

// "quarantined": the body went with a commit that was then forgotten.
bool tells_a_loss(const std::string& violation) {
  return violation.find("is lost") != std::string::npos ||
         violation.find("quarantined") != std::string::npos ||
         violation.find("was recorded") != std::string::npos ||
         violation.find("already removed") != std::string::npos ||
         violation.find("counter differs") != std::string::npos;
}

TEST(Mutant, SynchronousNormalIsCaught) {
  EXPECT_TRUE(tells_a_loss(first_violation(Mutant::synchronous_normal)));
}

// Without any sync the database may also be damaged, so that it does not open.
TEST(Mutant, SynchronousOffIsCaught) { EXPECT_NE(first_violation(Mutant::synchronous_off), ""); }

TEST(Mutant, ASpoolFileThatIsNotSyncedIsCaught) {
  const std::string violation = first_violation(Mutant::spool_file_unsynced);
  EXPECT_TRUE(violation.find("quarantined") != std::string::npos ||
              violation.find("its body") != std::string::npos);
}

TEST(Mutant, ASpoolFolderThatIsNotSyncedIsCaught) {
  EXPECT_NE(first_violation(Mutant::spool_folder_unsynced).find("quarantined"), std::string::npos);
}

TEST(Mutant, AnAnswerBeforeTheCommitIsCaught) {
  EXPECT_TRUE(tells_a_loss(first_violation(Mutant::answer_before_commit)));
}

TEST(Mutant, AFailedCommitThatIsIgnoredIsCaught) {
  EXPECT_TRUE(tells_a_loss(first_violation_at_failed_sync(Mutant::failed_commit_ignored)));
}

TEST(Mutant, ALogThatIsTrustedAfterAFailedSyncIsCaught) {
  EXPECT_TRUE(tells_a_loss(first_violation_at_failed_sync(Mutant::log_not_renewed)));
}

}  // namespace
}  // namespace postern::fault
