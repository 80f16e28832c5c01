// The loop, its timers, its pool and its signals.
#include "relay/net/loop.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

class LoopTest : public NetTest {};

TEST_F(LoopTest, RunsWhatManyThreadsPostInEachThreadsOrder) {
  constexpr int thread_count = 4;
  constexpr int posts_each = 2'000;
  std::vector<std::vector<int>> seen(thread_count);
  int total = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < thread_count; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < posts_each; ++i) {
        while (!loop->post([&, t, i] {
          seen[static_cast<std::size_t>(t)].push_back(i);
          if (++total == thread_count * posts_each) loop->stop();
        })) {
          std::this_thread::yield();
        }
      }
    });
  }
  loop->run();
  for (const std::vector<int>& one : seen) {
    ASSERT_EQ(one.size(), static_cast<std::size_t>(posts_each));
    EXPECT_TRUE(std::ranges::is_sorted(one));
  }
}

TEST_F(LoopTest, RefusesAPostWhenItIsFullAndWhenItHasStopped) {
  for (std::size_t i = 0; i < loop_posts_max; ++i) ASSERT_TRUE(loop->post([] {}));
  EXPECT_FALSE(loop->post([] {}));
  loop->stop();
  loop->run();
  EXPECT_FALSE(loop->post([] {}));
}

TEST_F(LoopTest, CanBeStoppedFromAnotherThreadAndBeforeItRuns) {
  loop->stop();
  loop->run();
  std::jthread stopper([this] {
    std::this_thread::sleep_for(Duration(30));
    loop->stop();
  });
  loop->run();
}

TEST_F(LoopTest, DropsTasksThatStillWaitWhenItGoes) {
  auto watched = std::make_shared<int>(1);
  ASSERT_TRUE(loop->post([watched] { FAIL() << "ran after the end"; }));
  EXPECT_EQ(watched.use_count(), 2);
  loop.reset();
  EXPECT_EQ(watched.use_count(), 1);
}

TEST_F(LoopTest, TimerFiresOnceAndNotBeforeItsTime) {
  Timer timer(*loop);
  const auto start = std::chrono::steady_clock::now();
  int fired = 0;
  timer.start(Duration(50), [&] { ++fired; });
  ASSERT_TRUE(until([&] { return fired > 0; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, Duration(49));
  run_for(*loop, Duration(120));
  EXPECT_EQ(fired, 1);
}

TEST_F(LoopTest, StartingARunningTimerReplacesItAndStoppingOrDestroyingSilencesIt) {
  std::string fired;
  Timer timer(*loop);
  timer.start(Duration(5), [&] { fired += "first "; });
  timer.start(Duration(10), [&] { fired += "second "; });
  auto destroyed = std::make_unique<Timer>(*loop);
  destroyed->start(Duration(1), [&] { fired += "destroyed "; });
  destroyed.reset();
  Timer stopped(*loop);
  stopped.start(Duration(1), [&] { fired += "stopped "; });
  stopped.stop();
  run_for(*loop, Duration(60));
  EXPECT_EQ(fired, "second ");
}

TEST_F(LoopTest, ATimerMayDestroyItselfAndStartItself) {
  auto doomed = std::make_unique<Timer>(*loop);
  bool gone = false;
  doomed->start(Duration(1), [&, kept = std::string(100, 'x')] {
    doomed.reset();
    gone = kept.size() == 100;  // the closure must still be there
  });
  Timer again(*loop);
  int rounds = 0;
  std::function<void()> round = [&] {
    if (++rounds < 3) again.start(Duration(1), [&] { round(); });
  };
  again.start(Duration(1), [&] { round(); });
  ASSERT_TRUE(until([&] { return gone && rounds == 3; }));
}

TEST_F(LoopTest, PoolWorkRunsElsewhereAndItsEndRunsHere) {
  std::thread::id worker;
  std::thread::id home;
  loop->run_on_pool([&] { worker = std::this_thread::get_id(); },
                    [&] { home = std::this_thread::get_id(); });
  ASSERT_TRUE(until([&] { return home != std::thread::id(); }));
  EXPECT_EQ(home, std::this_thread::get_id());
  EXPECT_NE(worker, home);
}

TEST_F(LoopTest, WaitsForPoolWorkAtItsEndAndThenAnswersNobody) {
  std::atomic<bool> worked = false;
  bool told = false;
  loop->run_on_pool(
      [&] {
        std::this_thread::sleep_for(Duration(50));
        worked = true;
      },
      [&] { told = true; });
  loop.reset();
  EXPECT_TRUE(worked);
  EXPECT_FALSE(told);
}

TEST_F(LoopTest, SignalWatcherHearsItsSignalAndMayDestroyItself) {
  int heard = 0;
  std::unique_ptr<SignalWatcher> watcher;
  watcher = std::make_unique<SignalWatcher>(*loop, SIGUSR1, [&] {
    if (++heard == 2) watcher.reset();
  });
  ASSERT_EQ(raise(SIGUSR1), 0);
  ASSERT_TRUE(until([&] { return heard == 1; }));
  ASSERT_EQ(raise(SIGUSR1), 0);
  ASSERT_TRUE(until([&] { return heard == 2; }));
  EXPECT_EQ(watcher, nullptr);
}

TEST_F(LoopTest, IgnoresSigpipeSoThatAVanishedPeerIsAnErrorOfTheWrite) {
  struct sigaction now{};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
}

}  // namespace
}  // namespace postern::net
