// Plain TCP: data both ways, back-pressure, the ways to end, and owners that go inside a callback.
#include "relay/net/connection.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/net/os_address.hpp"
#include "tests/unit/net/net_support.hpp"

namespace postern::net {
namespace {

class ConnectionTest : public NetTest {
 protected:
  void start_both() {
    server.connection->start();
    client.connection->start();
  }
};

TEST_F(ConnectionTest, EchoesOverIpv4AndKnowsBothEnds) {
  connect_pair("127.0.0.1:0");
  server.on_data = [this](std::string_view text) { server.write(text); };
  start_both();
  client.write("EHLO printer\r\n");
  ASSERT_TRUE(until([this] { return client.received == "EHLO printer\r\n"; }));
  EXPECT_EQ(client.connection->peer(), listener->address());
  EXPECT_EQ(server.connection->peer(), client.connection->local());
  EXPECT_EQ(server.connection->local(), listener->address());
  EXPECT_EQ(client.connection->pending_bytes(), 0U);
}

TEST_F(ConnectionTest, EchoesOverIpv6) {
  connect_pair("[::1]:0");
  server.on_data = [this](std::string_view text) { server.write(text); };
  start_both();
  client.write("NOOP\r\n");
  ASSERT_TRUE(until([this] { return client.received == "NOOP\r\n"; }));
  EXPECT_TRUE(client.connection->peer().address.is_ipv6);
}

TEST_F(ConnectionTest, ShowsAnIpv4PeerOfADualStackListenerAsIpv4) {
  auto listening = TcpListener::listen(
      *loop, address_of("[::]:0"), false,
      [this](std::unique_ptr<Connection> made) { server.attach(std::move(made)); });
  ASSERT_TRUE(listening.has_value()) << listening.error().text();
  listener = std::move(*listening);
  SocketAddress to = address_of("127.0.0.1:1");
  to.port = listener->address().port;
  Connector connecting(*loop, {to}, Duration(5'000),
                       [this](Result<std::unique_ptr<Connection>> made) {
                         ASSERT_TRUE(made.has_value()) << made.error().text();
                         client.attach(std::move(*made));
                       });
  ASSERT_TRUE(until([this] { return server.connection && client.connection; }));
  EXPECT_FALSE(server.connection->peer().address.is_ipv6);
  EXPECT_EQ(server.connection->peer().address.text(), "127.0.0.1");
}

TEST_F(ConnectionTest, SetsTcpNodelayAtBothEnds) {
  connect_pair();
  int found = 0;
  for (int descriptor = 3; descriptor < 256; ++descriptor) {
    const auto own = own_address(descriptor);
    if (!own || !peer_address(descriptor)) continue;
    if (own != client.connection->local() && own != server.connection->local()) continue;
    int value = 0;
    socklen_t length = sizeof value;
    ASSERT_EQ(getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    EXPECT_NE(value, 0);
    ++found;
  }
  EXPECT_EQ(found, 2);
}

TEST_F(ConnectionTest, DeliversNothingBeforeStart) {
  connect_pair();
  client.write("early");
  run_for(*loop, Duration(50));
  EXPECT_EQ(server.received, "");
  server.connection->start();
  EXPECT_TRUE(until([this] { return server.received == "early"; }));
}

TEST_F(ConnectionTest, CarriesABigTransferThroughPausesWithBoundedMemory) {
  connect_pair();
  const std::string sent = pattern_text(24U << 20);
  Timer resumer(*loop);
  int pauses = 0;
  server.on_data = [&](std::string_view) {
    if (server.received.size() / (1U << 20) <= static_cast<std::size_t>(pauses)) return;
    ++pauses;
    server.connection->pause();
    const std::size_t at = server.received.size();
    resumer.start(Duration(2), [&, at] {
      EXPECT_EQ(server.received.size(), at) << "delivered while paused";
      server.connection->resume();
    });
  };
  start_both();
  client.write(sent);
  EXPECT_GT(client.connection->pending_bytes(), 0U);
  EXPECT_EQ(client.drained, 0) << "a callback ran inside write()";
  ASSERT_TRUE(until([&] { return server.received.size() == sent.size(); }));
  EXPECT_TRUE(server.received == sent);
  EXPECT_GE(pauses, 20);
  ASSERT_TRUE(until([&] { return client.drained == 1; }));
  EXPECT_EQ(client.connection->pending_bytes(), 0U);
}

TEST_F(ConnectionTest, IsHeldByTcpWhilePaused) {
  connect_pair();
  start_both();
  server.connection->pause();
  client.write(pattern_text(32U << 20));
  run_for(*loop, Duration(100));
  EXPECT_EQ(server.received.size(), 0U);
  EXPECT_GT(client.connection->pending_bytes(), 1U << 20);
}

TEST_F(ConnectionTest, TellsDrainedAlsoWhenAllLeftAtOnceAndOnlyFromTheLoop) {
  connect_pair();
  start_both();
  client.write("x");
  EXPECT_EQ(client.drained, 0);
  ASSERT_TRUE(until([this] { return client.drained == 1; }));
}

TEST_F(ConnectionTest, TellsThePolitelyEndedConnectionOnce) {
  connect_pair();
  start_both();
  client.write("QUIT\r\n");
  client.connection->close_after_writing();
  ASSERT_TRUE(until([this] { return server.closed; }));
  EXPECT_EQ(server.received, "QUIT\r\n");
  EXPECT_FALSE(server.error.has_value());
  server.write("nobody");  // does nothing
  run_for(*loop, Duration(20));
  EXPECT_FALSE(client.closed) << "on_closed ran after close_after_writing()";
}

TEST_F(ConnectionTest, FlushesABigAnswerBeforeItClosesAndAfterItsOwnerIsGone) {
  connect_pair();
  const std::string answer = pattern_text(8U << 20);
  start_both();
  server.write(answer);
  server.connection->close_after_writing();
  server.connection.reset();
  ASSERT_TRUE(until([this] { return client.closed; }));
  EXPECT_TRUE(client.received == answer);
  EXPECT_FALSE(client.error.has_value());
}

TEST_F(ConnectionTest, TheLastReplyReachesAPeerThatIsStillSending) {
  // RFC 9293 §3.6: closing with unread input sends RST, and the RST would destroy the reply.
  connect_pair();
  client.connection->start();
  client.write(pattern_text(4U << 20));
  server.on_data = [this](std::string_view) {
    server.write("554 5.6.11 bare newline\r\n");
    server.connection->close_after_writing();
    server.connection.reset();
  };
  server.connection->start();
  ASSERT_TRUE(until([this] { return client.closed || !client.received.empty(); }));
  EXPECT_EQ(client.received, "554 5.6.11 bare newline\r\n");
}

TEST_F(ConnectionTest, ALoopThatGoesEndsConnectionsThatStillFlush) {
  connect_pair();
  start_both();
  client.connection->pause();
  server.write(pattern_text(32U << 20));
  server.connection->close_after_writing();
  server.connection.reset();
  run_for(*loop, Duration(20));
  // TearDown destroys the loop; it must neither wait for the flush nor leak.
}

TEST_F(ConnectionTest, ARaggedEndIsAnErrorWithThePeersAddress) {
  connect_pair();
  start_both();
  const int raw = ::socket(AF_INET, SOCK_STREAM, 0);
  const OsAddress to = to_os_address(listener->address());
  Peer first = std::move(server);
  server = Peer{};
  ASSERT_EQ(::connect(raw, to.get(), to.length), 0);
  ASSERT_TRUE(until([this] { return server.connection != nullptr; }));
  server.connection->start();
  const linger at_once{1, 0};
  ASSERT_EQ(setsockopt(raw, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  ::close(raw);
  ASSERT_TRUE(until([this] { return server.closed; }));
  ASSERT_TRUE(server.error.has_value());
  EXPECT_EQ(server.error->operation, "read from " + server.connection->peer().text());
  EXPECT_EQ(server.error->detail, "connection reset by peer");
  first.connection.reset();
}

TEST_F(ConnectionTest, AWriteToAVanishedPeerIsToldFromTheLoop) {
  connect_pair();
  client.connection->start();
  client.connection->pause();  // so that only writing can notice
  server.connection.reset();
  for (int i = 0; i < 200 && !client.closed; ++i) {
    client.write(pattern_text(1'000));
    run_for(*loop, Duration(2));
  }
  ASSERT_TRUE(client.closed);
  ASSERT_TRUE(client.error.has_value());
  EXPECT_TRUE(client.error->operation.starts_with("write to 127.0.0.1:")) << client.error->text();
}

TEST_F(ConnectionTest, NothingIsDeliveredAfterClose) {
  connect_pair();
  start_both();
  server.connection->close();
  client.write("too late");
  ASSERT_TRUE(until([this] { return client.closed; }));
  EXPECT_EQ(server.received, "");
  EXPECT_FALSE(server.closed);
  EXPECT_EQ(server.connection->peer(), client.connection->local());  // still answers
}

TEST_F(ConnectionTest, MayBeDestroyedInsideOnData) {
  connect_pair();
  bool whole = false;
  server.connection->set_events({.on_data =
                                     [this, &whole, kept = std::string(100, 'x')](ByteView octets) {
                                       server.connection.reset();
                                       whole = kept.size() == 100 && as_text(octets) == "data";
                                     },
                                 .on_tls = nullptr,
                                 .on_closed = nullptr,
                                 .on_drained = nullptr});
  start_both();
  client.write("data");
  ASSERT_TRUE(until([this] { return client.closed; }));
  EXPECT_TRUE(whole);
}

TEST_F(ConnectionTest, MayBeDestroyedInsideOnClosedAndOnDrained) {
  connect_pair();
  bool closed_seen = false;
  server.connection->set_events({.on_data = nullptr,
                                 .on_tls = nullptr,
                                 .on_closed =
                                     [&](const std::optional<Error>&) {
                                       server.connection.reset();
                                       closed_seen = true;
                                     },
                                 .on_drained = nullptr});
  client.connection->set_events(
      {.on_data = nullptr, .on_tls = nullptr, .on_closed = nullptr, .on_drained = [&] {
         client.connection.reset();
       }});
  start_both();
  client.write("bye");
  ASSERT_TRUE(until([&] { return closed_seen; }));
  EXPECT_EQ(client.connection, nullptr);
}

TEST_F(ConnectionTest, TakesNewEventsInsideACallback) {
  connect_pair();
  std::string second;
  server.connection->set_events(
      {.on_data =
           [this, &second, kept = std::string(100, 'x')](ByteView) {
             server.connection->set_events(
                 {.on_data = [&](ByteView octets) { second += as_text(octets); },
                  .on_tls = nullptr,
                  .on_closed = nullptr,
                  .on_drained = nullptr});
             EXPECT_EQ(kept.size(), 100U);  // the running closure must still be there
           },
       .on_tls = nullptr,
       .on_closed = nullptr,
       .on_drained = nullptr});
  start_both();
  client.write("one");
  ASSERT_TRUE(until([this] { return client.drained == 1; }));
  run_for(*loop, Duration(20));
  client.write("two");
  ASSERT_TRUE(until([&] { return second == "two"; }));
}

}  // namespace
}  // namespace postern::net
