// Whole lives of a queue; see lives.hpp.
#include "tests/fault/lives.hpp"

namespace postern::fault {

namespace {

// One cut in eight falls into the work around a checkpoint, which needs much mail before it.
struct Chapter {
  CutPlan cut;
  bool to_checkpoint = false;
};

Chapter choose_chapter(Client& client, bool first) {
  SeededRandom& random = client.random();
  Chapter chapter;
  switch (random.below(16)) {
    case 0:  // while the log is copied back
      chapter.to_checkpoint = true;
      chapter.cut = {CutPlan::After::first_write_of, client.database(), random.below(2'200)};
      return chapter;
    case 1:  // right after it: the log starts anew
      chapter.to_checkpoint = true;
      chapter.cut = {CutPlan::After::first_sync_of, client.database(), random.below(60)};
      return chapter;
    case 2:
    case 3:
    case 4:
    case 5:  // at the start: a new database, or recovery
      chapter.cut.changes = random.below(first ? 90 : 30);
      return chapter;
    case 6:
      chapter.cut.changes = random.below(1'500);
      return chapter;
    default:
      chapter.cut.changes = random.below(300);
      return chapter;
  }
}

void end(Client& client) {
  if (client.violation().empty() && client.open()) client.check_integrity();
}

}  // namespace

LifeOutcome live(const RealFolder& folder, std::uint64_t seed, Mutant mutant) {
  Client client(folder, seed, mutant);
  LifeOutcome outcome;
  const std::uint64_t cuts = client.random().between(2, 5);
  while (outcome.cuts < cuts && client.violation().empty()) {
    const Chapter chapter = choose_chapter(client, outcome.cuts == 0);
    client.disk().plan_cut(chapter.cut);
    if (client.open()) {
      if (chapter.to_checkpoint) client.run_to_checkpoint();
      client.run(40);
      if (client.disk().frozen() && chapter.to_checkpoint) ++outcome.cuts_around_checkpoints;
    } else {
      ++outcome.cuts_while_opening;
    }
    client.disk().freeze();
    client.close();
    client.disk().power_cut();
    ++outcome.cuts;
  }
  end(client);
  outcome.changes = client.disk().moment();
  outcome.violation = client.violation();
  return outcome;
}

FaultOutcome live_with_fault(const RealFolder& folder, std::uint64_t seed, const FaultPlan& plan,
                             Stage stage, Mutant mutant) {
  Client client(folder, seed, mutant);
  if (stage == Stage::checkpoint && client.open()) client.run_to_checkpoint();
  client.disk().plan_fault(plan);
  // The daemon is started again as often as it stops; a disk that fails for good is exchanged.
  constexpr int starts = 4;
  for (int start = 0; start < starts && client.violation().empty(); ++start) {
    if (start == 2 && plan.lasting) client.disk().heal();
    if (client.store() != nullptr || client.open()) client.run(start == 0 ? 10 : 4);
    if (plan.fault == Fault::no_space && client.store() != nullptr &&
        client.store()->death() != nullptr) {
      client.complain("a full disk ended the store: " + client.store()->death()->text());
    }
    // What the store does at its end may fail as well.
    if (start == 0 || client.store() == nullptr || client.store()->death() != nullptr) {
      client.close();
    } else {
      client.kill();
    }
  }
  FaultOutcome outcome;
  outcome.met = client.disk().fault_met();
  client.disk().heal();
  if (client.violation().empty()) client.open();
  client.run(2);
  client.disk().freeze();
  client.close();
  client.disk().power_cut_that_keeps_nothing();
  end(client);
  outcome.violation = client.violation();
  return outcome;
}

}  // namespace postern::fault
