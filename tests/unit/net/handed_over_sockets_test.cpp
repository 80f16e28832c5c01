// The supervisor's protocol: sd_listen_fds(3) and sd_notify(3), without systemd.
#include "relay/net/handed_over_sockets.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "relay/net/local_address.hpp"
#include "relay/net/os_address.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

// High enough that nothing else of the test program is there.
constexpr int first_descriptor = 200;

class HandedOverSocketsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (int i = 0; i < 4; ++i) ::close(first_descriptor + i);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("NOTIFY_SOCKET");
  }
  static void announce(const std::string& process, const std::string& count) {
    setenv("LISTEN_PID", process.c_str(), 1);
    setenv("LISTEN_FDS", count.c_str(), 1);
    setenv("LISTEN_FDNAMES", "smtp", 1);
  }
  static SocketAddress place_listener(int at, const char* address) {
    const SocketAddress wanted = address_of(address);
    const int made = ::socket(wanted.address.is_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    const OsAddress os_address = to_os_address(wanted);
    EXPECT_EQ(::bind(made, os_address.get(), os_address.length), 0);
    EXPECT_EQ(::listen(made, 1), 0);
    EXPECT_EQ(dup2(made, at), at);
    ::close(made);
    return own_address(at).value_or(SocketAddress{});
  }
};

TEST_F(HandedOverSocketsTest, TakesListeningSocketsAndClearsTheVariables) {
  const SocketAddress first = place_listener(first_descriptor, "127.0.0.1:0");
  const SocketAddress second = place_listener(first_descriptor + 1, "[::1]:0");
  announce(std::to_string(getpid()), "2");
  const auto taken = take_handed_over_sockets(first_descriptor);
  ASSERT_TRUE(taken.has_value()) << taken.error().text();
  ASSERT_EQ(taken->size(), 2U);
  EXPECT_EQ((*taken)[0].address, first);
  EXPECT_EQ((*taken)[1].address, second);
  EXPECT_EQ((*taken)[1].fd, first_descriptor + 1);
  EXPECT_NE(fcntl(first_descriptor, F_GETFD) & FD_CLOEXEC, 0);
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  }
  EXPECT_TRUE(take_handed_over_sockets(first_descriptor)->empty()) << "taken twice";
}

TEST_F(HandedOverSocketsTest, TakesNothingMeantForAnotherProcess) {
  place_listener(first_descriptor, "127.0.0.1:0");
  announce(std::to_string(getppid()), "1");
  const auto taken = take_handed_over_sockets(first_descriptor);
  ASSERT_TRUE(taken.has_value());
  EXPECT_TRUE(taken->empty());
  EXPECT_GE(fcntl(first_descriptor, F_GETFD), 0) << "closed what was not ours";
}

TEST_F(HandedOverSocketsTest, RefusesANumberThatIsNone) {
  for (const char* count : {"", "-1", "two", "65", "99999999999999999999", "1 "}) {
    announce(std::to_string(getpid()), count);
    const auto taken = take_handed_over_sockets(first_descriptor);
    ASSERT_FALSE(taken.has_value()) << count;
    EXPECT_EQ(taken.error().kind, ErrorKind::invalid);
  }
}

TEST_F(HandedOverSocketsTest, RefusesWhatIsNoListeningTcpSocketAndLeavesNothingOpen) {
  place_listener(first_descriptor, "127.0.0.1:0");
  const int datagram = ::socket(AF_INET, SOCK_DGRAM, 0);
  ASSERT_EQ(dup2(datagram, first_descriptor + 1), first_descriptor + 1);
  ::close(datagram);
  announce(std::to_string(getpid()), "2");
  const auto taken = take_handed_over_sockets(first_descriptor);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().operation, "take the handed-over descriptor 201");
  EXPECT_EQ(fcntl(first_descriptor, F_GETFD), -1);
  EXPECT_EQ(fcntl(first_descriptor + 1, F_GETFD), -1);
  announce(std::to_string(getpid()), "1");
  EXPECT_FALSE(take_handed_over_sockets(first_descriptor).has_value()) << "nothing is open there";
}

// By port alone the first socket took the place of the second, and TLS modes were exchanged.
TEST_F(HandedOverSocketsTest, StandInForTheListenerWithTheirAddressThenForOneWithTheirPort) {
  const std::vector<HandedOverSocket> sockets = {{7, address_of("[::]:465")},
                                                 {8, address_of("127.0.0.1:465")},
                                                 {9, address_of("0.0.0.0:587")}};
  const std::vector listeners = {address_of("127.0.0.1:465"), address_of("[::]:465"),
                                 address_of("192.0.2.1:587"), address_of("192.0.2.1:2525")};
  const auto assigned = assign_sockets(sockets, listeners);
  ASSERT_TRUE(assigned.has_value()) << assigned.error().text();
  EXPECT_EQ(*assigned, (std::vector{8, 7, 9, -1}));
  const auto homeless = assign_sockets(sockets, std::vector{address_of("[::]:465")});
  ASSERT_FALSE(homeless.has_value());
  EXPECT_NE(homeless.error().text().find("127.0.0.1:465"), std::string::npos);
}

TEST_F(HandedOverSocketsTest, ASocketThatCannotBeDuplicatedIsAnError) {
  EXPECT_FALSE(duplicate_socket(first_descriptor + 3).has_value());
  place_listener(first_descriptor, "127.0.0.1:0");
  const auto copy = duplicate_socket(first_descriptor);
  ASSERT_TRUE(copy.has_value());
  EXPECT_NE(fcntl(*copy, F_GETFD) & FD_CLOEXEC, 0);
  ::close(*copy);
}

TEST_F(HandedOverSocketsTest, NotifiesTheSupervisorByPathAndByAbstractName) {
  const TemporaryDirectory directory;
  for (const std::string& name :
       {directory.file("notify"), "@postern-notify-" + std::to_string(getpid())}) {
    const int supervisor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto address = LocalAddress::of(name);
    ASSERT_TRUE(address.has_value());
    ASSERT_EQ(::bind(supervisor, address->get(), address->length), 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
    char buffer[256];
    const auto heard = [&] {
      const ssize_t length = ::recv(supervisor, buffer, sizeof buffer, MSG_DONTWAIT);
      return std::string(buffer, static_cast<std::size_t>(length < 0 ? 0 : length));
    };
    const Supervisor told = Supervisor::from_environment();
    EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr) << "children would speak for us";
    ASSERT_TRUE(told.notify("READY=1").has_value());
    EXPECT_EQ(heard(), "READY=1");
    ASSERT_TRUE(told.notify("RELOADING=1").has_value());
    EXPECT_TRUE(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    ::close(supervisor);
    const auto unheard = told.notify("STOPPING=1");
    EXPECT_FALSE(unheard.has_value());
  }
}

TEST_F(HandedOverSocketsTest, ASignOfLifeWaitsForNoBusySupervisor) {
  const TemporaryDirectory directory;
  const std::string name = directory.file("notify");
  const int supervisor = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  const auto address = LocalAddress::of(name);
  ASSERT_EQ(::bind(supervisor, address->get(), address->length), 0);
  setenv("NOTIFY_SOCKET", name.c_str(), 1);
  const Supervisor told = Supervisor::from_environment();
  constexpr int more_than_any_queue = 10'000;
  int unread = 0;
  while (unread < more_than_any_queue && told.notify("WATCHDOG=1")) ++unread;
  EXPECT_GT(unread, 0);
  EXPECT_LT(unread, more_than_any_queue) << "the queue never filled";
  ::close(supervisor);
}

TEST_F(HandedOverSocketsTest, NotifiesNobodyWithoutASupervisorAndRefusesAStrangeAddress) {
  EXPECT_TRUE(Supervisor::from_environment().notify("READY=1").has_value());
  setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
  const auto strange = Supervisor::from_environment().notify("READY=1");
  ASSERT_FALSE(strange.has_value());
  EXPECT_EQ(strange.error().kind, ErrorKind::unsupported);
}

}  // namespace
}  // namespace postern::net
