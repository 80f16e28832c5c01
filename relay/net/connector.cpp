// Connecting to the first of several addresses that answers.
#include <algorithm>
#include <utility>

#include "relay/net/connection.hpp"
#include "relay/net/connection_parts.hpp"

namespace postern::net {

// The failures told in one Error: bounded, because the addresses come from a DNS answer.
inline constexpr std::size_t connector_detail_bytes_max = 2'048;

struct Connector::Parts {
  Parts(Loop& on, std::vector<SocketAddress> to, Duration timeout_each,
        Callback<Result<std::unique_ptr<Connection>>> when_done)
      : loop(on),
        addresses(std::move(to)),
        timeout(timeout_each),
        done(std::move(when_done)),
        timer(on) {}

  Loop& loop;
  std::vector<SocketAddress> addresses;
  Duration timeout;
  Callback<Result<std::unique_ptr<Connection>>> done;
  Timer timer;
  std::unique_ptr<Connection> candidate;
  std::size_t next = 0;
  std::size_t untold = 0;
  bool all_timed_out = true;
  std::string detail;

  // Tries addresses until one is being waited for, or none is left.
  void attempt() {
    while (next < addresses.size()) {
      const SocketAddress& address = addresses[next++];
      candidate = Connection::Parts::make(loop);
      const int status =
          candidate->parts_->connect(address, [this](int result) { connected(result); });
      if (status == 0) {
        timer.start(timeout, [this] {
          note("no answer within " + format_duration(timeout), true);
          attempt();
        });
        return;
      }
      note(uv_words(status), status == UV_ETIMEDOUT);
    }
    give_up();
  }

  void connected(int status) {
    timer.stop();
    if (status == 0) {
      if (Result<> learned = candidate->parts_->learn_addresses(); learned) {
        return finish(std::move(candidate));
      } else {
        note(learned.error().detail, false);
      }
    } else {
      note(uv_words(status), status == UV_ETIMEDOUT);
    }
    attempt();
  }

  void note(const std::string& why, bool timed_out) {
    candidate.reset();
    all_timed_out = all_timed_out && timed_out;
    const std::string line = addresses[next - 1].text() + ": " + why;
    if (detail.size() + line.size() > connector_detail_bytes_max) {
      ++untold;
      return;
    }
    if (!detail.empty()) detail += "; ";
    detail += line;
  }

  void give_up() {
    if (addresses.empty()) {
      return finish(fail(ErrorKind::not_found, "connect", "there is no address to connect to"));
    }
    if (untold > 0) detail += "; and " + std::to_string(untold) + " more addresses";
    finish(fail(all_timed_out ? ErrorKind::timeout : ErrorKind::io, "connect", std::move(detail)));
  }

  // The last thing that touches the Parts: `done` may destroy the Connector.
  void finish(Result<std::unique_ptr<Connection>> result) {
    Callback<Result<std::unique_ptr<Connection>>> last = std::move(done);
    last(std::move(result));
  }
};

Connector::Connector(Loop& loop, std::vector<SocketAddress> addresses, Duration timeout,
                     Callback<Result<std::unique_ptr<Connection>>> done)
    : parts_(std::make_unique<Parts>(loop, std::move(addresses), timeout, std::move(done))) {
  // From the loop, so that `done` never runs inside this constructor.
  parts_->timer.start(Duration(0), [parts = parts_.get()] { parts->attempt(); });
}

Connector::~Connector() = default;

}  // namespace postern::net
