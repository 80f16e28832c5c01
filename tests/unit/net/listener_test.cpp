// Listening, accepting and connecting: shared ports, adopted sockets, and errors in words.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

#include "relay/net/connection.hpp"
#include "relay/net/os_address.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

class ListenerTest : public NetTest {
 protected:
  // Connects from outside the loop; the descriptor is the caller's.
  static int connect_raw(const SocketAddress& to) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const OsAddress address = to_os_address(to);
    EXPECT_EQ(::connect(descriptor, address.get(), address.length), 0);
    return descriptor;
  }
  auto record() {
    return [this](std::unique_ptr<Connection> made) { accepted.push_back(std::move(made)); };
  }
  void TearDown() override {
    accepted.clear();
    NetTest::TearDown();
  }
  std::vector<std::unique_ptr<Connection>> accepted;
};

TEST_F(ListenerTest, APortInUseIsToldWithTheAddressAndWhatToDo) {
  auto first = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(first.has_value());
  const SocketAddress taken = (*first)->address();
  ASSERT_NE(taken.port, 0);
  const auto second = TcpListener::listen(*loop, taken, false, record());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::busy);
  EXPECT_EQ(second.error().operation, "listen on " + taken.text());
  EXPECT_TRUE(second.error().detail.starts_with("port in use by another program"));
  const auto shared = TcpListener::listen(*loop, taken, true, record());
  EXPECT_FALSE(shared.has_value()) << "shared a port with a socket that does not share";
}

TEST_F(ListenerTest, AnAddressOfAnotherHostIsToldInWords) {
  const auto made = TcpListener::listen(*loop, address_of("192.0.2.1:2525"), false, record());
  ASSERT_FALSE(made.has_value());
  EXPECT_TRUE(made.error().text().starts_with(
      "listen on 192.0.2.1:2525: no network interface of this host has this address"))
      << made.error().text();
}

TEST_F(ListenerTest, SeveralLoopsShareAPortAndAConnectionStaysWhereItWasAccepted) {
  auto other_loop = Loop::create();
  ASSERT_TRUE(other_loop.has_value());
  std::vector<std::unique_ptr<Connection>> accepted_there;
  auto here = TcpListener::listen(*loop, address_of("127.0.0.1:0"), true, record());
  ASSERT_TRUE(here.has_value());
  auto there = TcpListener::listen(
      **other_loop, (*here)->address(), true,
      [&](std::unique_ptr<Connection> made) { accepted_there.push_back(std::move(made)); });
  ASSERT_TRUE(there.has_value()) << there.error().text();
  std::vector<int> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(connect_raw((*here)->address()));
  EXPECT_TRUE(until([&] {
    run_for(**other_loop, Duration(2));
    return accepted.size() + accepted_there.size() == clients.size();
  }));
  EXPECT_FALSE(accepted_there.empty());
  EXPECT_FALSE(accepted.empty());
  for (const int one : clients) ::close(one);
  accepted_there.clear();
  there->reset();
}

TEST_F(ListenerTest, AdoptsAHandedOverSocketAlsoInSeveralLoops) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  const OsAddress any = to_os_address(address_of("127.0.0.1:0"));
  ASSERT_EQ(::bind(descriptor, any.get(), any.length), 0);
  ASSERT_EQ(::listen(descriptor, 8), 0);
  auto other_loop = Loop::create();
  ASSERT_TRUE(other_loop.has_value());
  std::vector<std::unique_ptr<Connection>> accepted_there;
  auto there = TcpListener::adopt(
      **other_loop, dup(descriptor),
      [&](std::unique_ptr<Connection> made) { accepted_there.push_back(std::move(made)); });
  ASSERT_TRUE(there.has_value()) << there.error().text();
  auto here = TcpListener::adopt(*loop, descriptor, record());
  ASSERT_TRUE(here.has_value()) << here.error().text();
  EXPECT_EQ((*here)->address(), (*there)->address());
  const int first = connect_raw((*here)->address());
  EXPECT_TRUE(until([&] { return accepted.size() == 1; }));
  run_for(**other_loop, Duration(10));  // wakes to find nothing: must not block or spin
  EXPECT_TRUE(accepted_there.empty());
  const int second = connect_raw((*here)->address());
  EXPECT_TRUE(run_until(**other_loop, [&] { return accepted_there.size() == 1; }));
  ::close(first);
  ::close(second);
  accepted_there.clear();
  there->reset();
}

// A second daemon on the port took a part of the clients without a word.
TEST_F(ListenerTest, APortThatIsSharedWithAnotherDaemonIsNotFree) {
  auto theirs = TcpListener::listen(*loop, address_of("127.0.0.1:0"), true, record());
  ASSERT_TRUE(theirs.has_value());
  const SocketAddress taken = (*theirs)->address();
  const auto checked = TcpListener::check_free(taken);
  ASSERT_FALSE(checked.has_value());
  EXPECT_TRUE(checked.error().detail.starts_with("port in use by another program"));
  theirs->reset();
  EXPECT_TRUE(TcpListener::check_free(taken).has_value());
}

TEST_F(ListenerTest, RefusesToAdoptWhatDoesNotListenOrIsNoTcpSocket) {
  const auto refusal = [this](int descriptor) {
    auto made = TcpListener::adopt(*loop, descriptor, record());
    ::close(descriptor);
    return made ? std::string("adopted") : made.error().detail;
  };
  EXPECT_EQ(refusal(::socket(AF_INET, SOCK_STREAM, 0)), "it does not listen");
  EXPECT_EQ(refusal(::socket(AF_INET, SOCK_DGRAM, 0)), "it is not a stream socket");
  const int local = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_storage none{.ss_family = AF_UNIX, .__ss_padding = {}, .__ss_align = 0};
  ASSERT_EQ(::bind(local, reinterpret_cast<const sockaddr*>(&none), sizeof(sa_family_t)), 0);
  ASSERT_EQ(::listen(local, 1), 0);
  EXPECT_EQ(refusal(local), "it is neither an IPv4 nor an IPv6 socket");
}

TEST_F(ListenerTest, AdoptingADescriptorTwiceIsAnErrorThatLeavesTheFirstListenerAtWork) {
  auto first = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(first.has_value());
  int descriptor = 3;
  const auto listens_here = [&] {
    int value = 0;
    socklen_t length = sizeof value;
    return own_address(descriptor) == (*first)->address() &&
           getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1;
  };
  while (descriptor < 256 && !listens_here()) ++descriptor;
  ASSERT_FALSE(TcpListener::adopt(*loop, descriptor, record()).has_value());
  const int one = connect_raw((*first)->address());
  EXPECT_TRUE(until([&] { return accepted.size() == 1; }));
  ::close(one);
}

TEST_F(ListenerTest, MayBeDestroyedInsideItsOwnCallback) {
  bool whole = false;
  auto made = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false,
                                  [&, kept = std::string(100, 'x')](std::unique_ptr<Connection>) {
                                    listener.reset();
                                    whole = kept.size() == 100;
                                  });
  ASSERT_TRUE(made.has_value());
  listener = std::move(*made);
  const SocketAddress to = listener->address();
  const int first = connect_raw(to);
  const int second = connect_raw(to);
  EXPECT_TRUE(until([&] { return whole; }));
  ::close(first);
  ::close(second);
}

TEST_F(ListenerTest, RunningOutOfDescriptorsPausesAcceptingInsteadOfSpinning) {
  auto made = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(made.has_value());
  listener = std::move(*made);
  const int waiting = connect_raw(listener->address());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(0);
  ::close(lowest_free);
  rlimit none_left = before;
  none_left.rlim_cur = static_cast<rlim_t>(lowest_free);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none_left), 0);
  int turns = 0;
  const std::clock_t busy_before = std::clock();
  Timer turn(*loop);
  turn.start(Duration(400), [&] { loop->stop(); });
  loop->run();
  const double busy_seconds =
      static_cast<double>(std::clock() - busy_before) / static_cast<double>(CLOCKS_PER_SEC);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(accepted.empty());
  EXPECT_LT(busy_seconds, 0.2);
  EXPECT_TRUE(
      run_until(*loop, [&] { return ++turns > 0 && accepted.size() == 1; }, Duration(3'000)));
  ::close(waiting);
}

// A peer that is told no and neither reads nor closes holds a descriptor of ours for seconds.
TEST_F(ListenerTest, OnlySoManyConnectionsLingerAndTheRestIsClosedAtOnce) {
  constexpr std::size_t beyond = 20;
  auto made = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(made.has_value());
  listener = std::move(*made);
  std::vector<int> peers;
  for (std::size_t i = 0; i < lingering_max + beyond; ++i) {
    peers.push_back(connect_raw(listener->address()));
  }
  ASSERT_TRUE(until([&] { return accepted.size() == peers.size(); }));
  const auto open_descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  const auto before = open_descriptors();
  for (auto& connection : accepted) {
    connection->start();
    connection->write(as_bytes("421 4.7.0 no\r\n"));
    connection->close_after_writing();
  }
  accepted.clear();
  run_for(*loop, Duration(50));
  EXPECT_EQ(open_descriptors(), before - static_cast<std::ptrdiff_t>(beyond));
  for (const int peer : peers) {
    char text[32];
    EXPECT_EQ(::recv(peer, text, sizeof text, 0), 14) << "the reply had left already";
    ::close(peer);
  }
  EXPECT_TRUE(until([&] {
    return open_descriptors() <= before - static_cast<std::ptrdiff_t>(2 * peers.size());
  })) << "all of them end";
}

TEST_F(ListenerTest, ConnectorGoesOnToTheNextAddress) {
  auto made = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(made.has_value());
  listener = std::move(*made);
  Connector connecting(*loop, {refusing_address(), listener->address()}, Duration(5'000),
                       [&](Result<std::unique_ptr<Connection>> result) {
                         ASSERT_TRUE(result.has_value()) << result.error().text();
                         client.attach(std::move(*result));
                       });
  EXPECT_TRUE(until([&] { return client.connection && accepted.size() == 1; }));
  EXPECT_EQ(client.connection->peer(), listener->address());
}

TEST_F(ListenerTest, ConnectorTellsEveryAddressThatRefused) {
  const SocketAddress one = refusing_address();
  const SocketAddress other = address_of("[::1]:1");
  std::optional<Error> error;
  std::unique_ptr<Connector> connecting;
  connecting = std::make_unique<Connector>(*loop, std::vector{one, other}, Duration(5'000),
                                           [&](Result<std::unique_ptr<Connection>> result) {
                                             ASSERT_FALSE(result.has_value());
                                             error = result.error();
                                             connecting.reset();  // allowed
                                           });
  ASSERT_TRUE(until([&] { return error.has_value(); }));
  EXPECT_EQ(error->kind, ErrorKind::io);
  EXPECT_EQ(error->text(),
            "connect: " + one.text() + ": connection refused; [::1]:1: connection refused");
}

TEST_F(ListenerTest, ConnectorBoundsItsErrorAndSaysSoWithoutAddresses) {
  std::optional<Error> none;
  Connector without(*loop, {}, Duration(1'000),
                    [&](Result<std::unique_ptr<Connection>> result) { none = result.error(); });
  EXPECT_FALSE(none.has_value()) << "answered inside the constructor";
  std::optional<Error> many;
  Connector with_many(*loop, std::vector(200, refusing_address()), Duration(1'000),
                      [&](Result<std::unique_ptr<Connection>> result) { many = result.error(); });
  ASSERT_TRUE(until([&] { return none && many; }));
  EXPECT_EQ(none->kind, ErrorKind::not_found);
  EXPECT_LT(many->detail.size(), 2'200U);
  EXPECT_TRUE(many->detail.ends_with(" more addresses")) << many->detail;
}

TEST_F(ListenerTest, ConnectorGivesUpAnAddressThatDoesNotAnswer) {
  // A listener with a full backlog: the kernel drops further SYNs, so a connection attempt hangs.
  const int full = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const OsAddress any = to_os_address(address_of("127.0.0.1:0"));
  ASSERT_EQ(::bind(full, any.get(), any.length), 0);
  ASSERT_EQ(::listen(full, 0), 0);
  const SocketAddress to = own_address(full).value_or(SocketAddress{});
  std::vector<int> fillers;
  for (int i = 0; i < 4; ++i) {
    const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const OsAddress address = to_os_address(to);
    static_cast<void>(::connect(one, address.get(), address.length));
    fillers.push_back(one);
  }
  std::optional<Error> error;
  bool connected = false;
  Connector connecting(*loop, {to}, Duration(100), [&](Result<std::unique_ptr<Connection>> result) {
    connected = result.has_value();
    error = connected ? std::nullopt : std::optional(result.error());
  });
  ASSERT_TRUE(until([&] { return connected || error; }));
  ASSERT_TRUE(error.has_value()) << "this kernel queued more than asked for";
  EXPECT_EQ(error->kind, ErrorKind::timeout);
  EXPECT_EQ(error->detail.find(to.text() + ": no answer within "), 0U) << error->detail;
  for (const int one : fillers) ::close(one);
  ::close(full);
}

TEST_F(ListenerTest, ADestroyedConnectorNeverAnswers) {
  auto made = TcpListener::listen(*loop, address_of("127.0.0.1:0"), false, record());
  ASSERT_TRUE(made.has_value());
  listener = std::move(*made);
  bool answered = false;
  auto connecting = std::make_unique<Connector>(
      *loop, std::vector{listener->address()}, Duration(1'000),
      [&](const Result<std::unique_ptr<Connection>>&) { answered = true; });
  Timer soon(*loop);
  soon.start(Duration(0), [&] { connecting.reset(); });
  run_for(*loop, Duration(50));
  EXPECT_FALSE(answered);
}

}  // namespace
}  // namespace postern::net
