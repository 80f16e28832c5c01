// What the tests of relay/net share: running a loop until something is true, a recording peer, a
// connected pair, and a directory that goes away.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/loop.hpp"

namespace postern::net {

// False when `limit` passes first.
[[nodiscard]] bool run_until(Loop& loop, const std::function<bool()>& is_true,
                             Duration limit = Duration(20'000));
// Lets the loop turn for a while, to see that something does not happen.
void run_for(Loop& loop, Duration time);

[[nodiscard]] SocketAddress address_of(std::string_view text);
// An address on 127.0.0.1 where nothing listens.
[[nodiscard]] SocketAddress refusing_address();
// `size` octets that differ along the way, so that a swap or a loss shows.
[[nodiscard]] std::string pattern_text(std::size_t size);

struct Peer {
  std::unique_ptr<Connection> connection;
  std::string received;
  std::optional<crypto::TlsFacts> tls;
  bool closed = false;
  std::optional<Error> error;
  int drained = 0;
  std::function<void(std::string_view)> on_data = {};  // after it was recorded

  void attach(std::unique_ptr<Connection> made);
  void write(std::string_view text) { connection->write(as_bytes(text)); }
};

class NetTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  // A listener on `address` that hands its one connection to `server`, and a connection to it in
  // `client`.
  void connect_pair(std::string_view address = "127.0.0.1:0");
  [[nodiscard]] bool until(const std::function<bool()>& is_true) {
    return run_until(*loop, is_true);
  }

  std::unique_ptr<Loop> loop;
  std::unique_ptr<TcpListener> listener;
  std::unique_ptr<Connector> connector;
  Peer server;
  Peer client;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace postern::net
