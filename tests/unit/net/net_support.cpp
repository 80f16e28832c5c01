// See the header.
#include "tests/unit/net/net_support.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "relay/net/os_address.hpp"

namespace postern::net {

bool run_until(Loop& loop, const std::function<bool()>& is_true, Duration limit) {
  Timer tick(loop);
  const auto end = std::chrono::steady_clock::now() + limit;
  bool reached = false;
  std::function<void()> look = [&] {
    reached = is_true();
    if (reached || std::chrono::steady_clock::now() > end) return loop.stop();
    tick.start(Duration(1), [&] { look(); });
  };
  tick.start(Duration(0), [&] { look(); });
  loop.run();
  return reached;
}

void run_for(Loop& loop, Duration time) {
  static_cast<void>(run_until(loop, [] { return false; }, time));
}

SocketAddress address_of(std::string_view text) {
  const auto address = SocketAddress::parse(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(SocketAddress{});
}

SocketAddress refusing_address() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const OsAddress any = to_os_address(address_of("127.0.0.1:0"));
  EXPECT_EQ(::bind(descriptor, any.get(), any.length), 0);
  const auto address = own_address(descriptor);
  ::close(descriptor);
  return address.value_or(SocketAddress{});
}

std::string pattern_text(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 12'345;
  for (char& c : text) {
    state = state * 1'664'525U + 1'013'904'223U;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

void Peer::attach(std::unique_ptr<Connection> made) {
  connection = std::move(made);
  connection->set_events({.on_data =
                              [this](ByteView octets) {
                                received += as_text(octets);
                                if (on_data) on_data(as_text(octets));
                              },
                          .on_tls = [this](const crypto::TlsFacts& facts) { tls = facts; },
                          .on_closed =
                              [this](std::optional<Error> why) {
                                EXPECT_FALSE(closed) << "told twice";
                                closed = true;
                                error = std::move(why);
                              },
                          .on_drained = [this] { ++drained; }});
}

void NetTest::SetUp() {
  auto made = Loop::create();
  ASSERT_TRUE(made.has_value());
  loop = std::move(*made);
}

void NetTest::TearDown() {
  client.connection.reset();
  server.connection.reset();
  connector.reset();
  listener.reset();
  loop.reset();
}

void NetTest::connect_pair(std::string_view address) {
  auto listening = TcpListener::listen(
      *loop, address_of(address), false,
      [this](std::unique_ptr<Connection> made) { server.attach(std::move(made)); });
  ASSERT_TRUE(listening.has_value()) << listening.error().text();
  listener = std::move(*listening);
  connector = std::make_unique<Connector>(*loop, std::vector{listener->address()}, Duration(5'000),
                                          [this](Result<std::unique_ptr<Connection>> made) {
                                            ASSERT_TRUE(made.has_value()) << made.error().text();
                                            client.attach(std::move(*made));
                                          });
  ASSERT_TRUE(until([this] { return server.connection && client.connection; }));
}

TemporaryDirectory::TemporaryDirectory() {
  path_ = ::testing::TempDir() + "postern-net-XXXXXX";
  EXPECT_NE(mkdtemp(path_.data()), nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace postern::net
