// The supervisor's watchdog: fed when every thread answers, not fed when one of them is silent.
#include "relay/watchdog.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "gtest/gtest.h"

namespace postern {
namespace {

// A turn every 50 ms for 350 ms: fewer notes than a socket holds unread.
constexpr auto interval = std::chrono::milliseconds(200);
constexpr auto whole_time = std::chrono::milliseconds(350);

class WatchdogTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = "postern-watchdog-test-" + std::to_string(getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ASSERT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), length), 0);
    setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
    setenv("WATCHDOG_USEC", "200000", 1);
    auto loop = net::Loop::create();
    ASSERT_TRUE(loop.has_value());
    loop_ = std::move(*loop);
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
    ::close(socket_);
  }

  // How often the supervisor was told while the loop ran.
  std::size_t run_with(std::vector<Watchdog::Ask> threads, bool stop_asking = false) {
    const auto supervisor = net::Supervisor::from_environment();
    Watchdog watchdog(*loop_, supervisor, interval, std::move(threads));
    watchdog.start();
    if (stop_asking) watchdog.stop_asking();
    net::Timer end(*loop_);
    end.start(whole_time, [this] { loop_->stop(); });
    loop_->run();
    std::size_t notes = 0;
    char buffer[64];
    for (ssize_t count; (count = ::recv(socket_, buffer, sizeof buffer, 0)) > 0; ++notes) {
      EXPECT_EQ(std::string_view(buffer, static_cast<std::size_t>(count)), "WATCHDOG=1");
    }
    return notes;
  }

  Watchdog::Ask answering() {
    return [this](Callback<> answer) { return loop_->post(std::move(answer)); };
  }

  int socket_ = -1;
  std::unique_ptr<net::Loop> loop_;
};

TEST_F(WatchdogTest, IsFedWhileEveryThreadAnswers) {
  EXPECT_GE(run_with({answering(), answering()}), 2U);
}

TEST_F(WatchdogTest, IsNotFedWhileOneThreadIsSilent) {
  EXPECT_EQ(run_with({answering(), [](const Callback<>&) { return true; }}), 0U);
}

TEST_F(WatchdogTest, AsksAgainWhereTheQuestionOrTheAnswerWasLost) {
  int asked = 0;
  EXPECT_GE(run_with({[this, &asked](Callback<> answer) {
              return ++asked > 1 && loop_->post(std::move(answer));
            }}),
            1U);
}

TEST_F(WatchdogTest, IsFedDuringAShutdownWhereThreadsEnd) {
  EXPECT_GE(run_with({[](const Callback<>&) { return false; }}, true), 2U);
}

TEST_F(WatchdogTest, TheIntervalIsTheSupervisorsAndItsVariablesAreGone) {
  EXPECT_EQ(net::Supervisor::from_environment().watchdog_interval(), Duration(interval));
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
  EXPECT_EQ(net::Supervisor::from_environment().watchdog_interval(), std::nullopt);
}

TEST_F(WatchdogTest, AWatchdogOfAnotherProcessIsNotOurs) {
  setenv("WATCHDOG_PID", std::to_string(getppid()).c_str(), 1);
  EXPECT_EQ(net::Supervisor::from_environment().watchdog_interval(), std::nullopt);
}

TEST_F(WatchdogTest, AnIntervalThatIsNoNumberIsNone) {
  setenv("WATCHDOG_USEC", "1s", 1);
  EXPECT_EQ(net::Supervisor::from_environment().watchdog_interval(), std::nullopt);
}

}  // namespace
}  // namespace postern
