// A simulated world: devices submit, an upstream takes mail or does not, the relay is killed and
// loses its power, the wall clock jumps; everything follows from a seed. Whatever happens, after
// our 250 the mail arrives or a person learns why (RFC 5321 section 4.2.5).
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/world/relay.hpp"

namespace postern::world {
namespace {

struct Options {
  std::uint64_t seeds = 0;  // 0: the short form
  std::uint64_t seed = 1;
};
Options& options() {
  static Options value;
  return value;
}

// A sanitizer makes a world about ten times slower, and CTest waits for it.
#ifdef POSTERN_SANITIZED
constexpr std::uint64_t seeds_of_short_form = 300;
#else
constexpr std::uint64_t seeds_of_short_form = 3'000;
#endif

struct Outcome {
  std::string violation;
  std::uint64_t promised = 0;
  std::uint64_t relayed = 0;
  std::uint64_t reported = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t deaths = 0;
  std::uint64_t power_cuts = 0;
  std::uint64_t attempts = 0;
  std::uint64_t events = 0;
  bool operator==(const Outcome&) const = default;
};

constexpr Duration troubled_time = std::chrono::hours(3);
constexpr Duration time_to_rest = std::chrono::hours(12);
// An attempt at most each retry_delay_min, and few messages: more is a storm.
constexpr std::uint64_t attempts_max = 3'000;

class World {
 public:
  World(const fault::RealFolder& folder, std::uint64_t seed, Mistake mistake = Mistake::none)
      : random_(seed),
        relay_(folder, seed, timeline_, random_, ledger_, mistake),
        upstream_(network_, random_, ledger_, relay_.lives()) {
    relay_.meet(upstream_);
  }

  Outcome live() {
    relay_.start();
    const std::uint64_t devices = random_.between(1, 12);
    for (std::uint64_t device = 0; device < devices; ++device) {
      timeline_.after(some_time(), [this] { submit(); });
    }
    const std::uint64_t troubles = random_.below(6);
    for (std::uint64_t trouble = 0; trouble < troubles; ++trouble) {
      timeline_.after(some_time(), [this] { befall(); });
    }
    const MonotonicTime begin = timeline_.monotonic();
    while (timeline_.monotonic() < begin + troubled_time && go_on()) {
    }
    upstream_.heal();
    while (timeline_.monotonic() < begin + troubled_time + time_to_rest && go_on()) {
      if (relay_.alive() && relay_.queue_is_empty() &&
          timeline_.monotonic() > begin + 2 * troubled_time) {
        break;
      }
    }
    if (ledger_.violation().empty()) {
      if (!relay_.alive()) ledger_.complain("the relay does not come back");
      if (relay_.alive() && !relay_.queue_is_empty()) ledger_.complain("the queue never drains");
      ledger_.close();
    }
    return {ledger_.violation(),      ledger_.promised,   ledger_.relayed,
            ledger_.reported,         ledger_.duplicates, relay_.lives(),
            relay_.deaths_by_power(), relay_.attempts(),  timeline_.done()};
  }

 private:
  // Much happens at once, in the first minute, and the rest at any time.
  Duration some_time() {
    return Duration(random_.one_in(2) ? random_.below(60'000) : random_.below(7'200'000));
  }
  bool go_on() {
    if (relay_.attempts() > attempts_max) ledger_.complain("a storm of attempts");
    return ledger_.violation().empty() && timeline_.step();
  }
  void submit() {
    auto wire = network_.make_wire();
    std::make_shared<Device>(random_, ledger_, wire)->begin();
    if (!relay_.accept(wire)) wire->cut();
  }
  void befall() {
    switch (random_.below(4)) {
      case 0:
        if (relay_.alive()) relay_.die(false);
        return;
      case 1:
        if (relay_.alive()) relay_.die(true);
        return;
      case 2:
        relay_.plan_power_cut();
        return;
      default:
        timeline_.jump_wall(Duration(random_.below(20 * 86'400'000)) - std::chrono::hours(24 * 10));
    }
  }

  Timeline timeline_;
  SeededRandom random_;
  Ledger ledger_;
  Relay relay_;
  Network network_{timeline_, random_};
  Upstream upstream_;
};

TEST(World, KeepsThePromiseWhateverHappens) {
  const fault::RealFolder folder;
  Outcome all;
  const std::uint64_t seeds = options().seeds > 0 ? options().seeds : seeds_of_short_form;
  for (std::uint64_t seed = options().seed; seed < options().seed + seeds; ++seed) {
    const Outcome one = World(folder, seed).live();
    ASSERT_EQ(one.violation, "") << "replay: world --seeds 1 --seed " << seed;
    all.promised += one.promised;
    all.relayed += one.relayed;
    all.reported += one.reported;
    all.duplicates += one.duplicates;
    all.deaths += one.deaths;
    all.power_cuts += one.power_cuts;
    all.attempts += one.attempts;
  }
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%llu worlds: %llu recipients promised, %llu reached, %llu reported, %llu duplicates, "
      "%llu attempts, %llu deaths of the relay, %llu of them by power cuts\n",
      number(seeds), number(all.promised), number(all.relayed), number(all.reported),
      number(all.duplicates), number(all.attempts), number(all.deaths), number(all.power_cuts));
  if (seeds < 100) return;  // a replay
  // Worlds in which nothing happens prove nothing.
  EXPECT_GT(all.promised, seeds);
  EXPECT_GT(all.reported, seeds / 50);
  EXPECT_GT(all.duplicates, seeds / 50);
  EXPECT_GT(all.power_cuts, seeds / 4);
}

TEST(World, ReplaysExactlyByItsSeed) {
  const fault::RealFolder folder;
  for (std::uint64_t seed = options().seed; seed < options().seed + 20; ++seed) {
    const Outcome first = World(folder, seed).live();
    const Outcome again = World(folder, seed).live();
    EXPECT_TRUE(first == again) << seed;
    EXPECT_GT(first.events, 0U);
  }
}

// The world must be able to fail: each mistake is seen, and only it.
class Mistaken : public testing::TestWithParam<Mistake> {};

TEST_P(Mistaken, RelayIsCaught) {
  const fault::RealFolder folder;
  for (std::uint64_t seed = options().seed; seed < options().seed + 500; ++seed) {
    const std::string violation = World(folder, seed, GetParam()).live().violation;
    if (violation.empty()) continue;
    std::printf("world %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
    EXPECT_EQ(World(folder, seed).live().violation, "");
    return;
  }
  ADD_FAILURE() << "no world shows the mistake";
}

INSTANTIATE_TEST_SUITE_P(World, Mistaken,
                         testing::Values(Mistake::answer_before_commit, Mistake::failure_unreported,
                                         Mistake::taken_is_unrecorded));

}  // namespace
}  // namespace postern::world

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int at = 1; at + 1 < argc; at += 2) {
    const std::string_view name = argv[at];
    const std::uint64_t number = std::strtoull(argv[at + 1], nullptr, 10);
    auto& options = postern::world::options();
    (name == "--seeds" ? options.seeds : options.seed) = number;
  }
  return RUN_ALL_TESTS();
}
