// A session worker: one thread, one loop, its share of the listeners and the connections it
// accepted.
//
// Promise: a connection stays on the loop that accepted it; one over the limits is told 421 (where
// it speaks plain text yet) and closed. After begin_stop() idle sessions end at once, transactions
// in flight may finish, at most for shutdown_grace, and then the thread ends. Sharp edge: join()
// blocks until then, and the storage thread and the gatekeeper's loop must still run meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "relay/base/error.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/loop.hpp"
#include "relay/submission/submission_driver.hpp"

namespace postern::submission {

// SIGTERM: transactions in flight get this long to end. systemd's default patience is 90 s.
inline constexpr Duration shutdown_grace = std::chrono::seconds(20);

// Of refused connections the log tells the first of each reason, then a count this often.
inline constexpr Duration refusals_told_every = std::chrono::minutes(1);

struct ListenerPlan {
  SocketAddress address;
  bool implicit_tls = false;
  int handed_over_fd = -1;  // a listening socket from the supervisor, or -1: bind ourselves
};

class SubmissionWorker {
 public:
  [[nodiscard]] static Result<std::unique_ptr<SubmissionWorker>> create(
      SubmissionServices& services, Gatekeeper& gatekeeper, PolicySnapshot policy);
  ~SubmissionWorker();
  // Before start(): binds; the port taken is written back for a plan that asked for port 0.
  [[nodiscard]] Result<> listen(ListenerPlan& plan);
  void start();
  void configure(PolicySnapshot policy);  // from any thread; for connections to come
  // From any thread: `answer` runs on `home` once this loop has come to the question.
  [[nodiscard]] bool ask_alive(net::Loop& home, Callback<> answer);
  void begin_stop();  // from any thread; returns at once
  void join();        // after begin_stop()

 private:
  SubmissionWorker(std::unique_ptr<net::Loop> loop, SubmissionServices& services,
                   Gatekeeper& gatekeeper, PolicySnapshot policy);
  void accepted(std::unique_ptr<net::Connection> connection, bool implicit_tls);
  void admit(std::uint64_t id, const IpAddress& address, Gatekeeper::ConnectionVerdict verdict);
  void begin_session(std::uint64_t id, std::unique_ptr<net::Connection> connection,
                     bool implicit_tls);
  void log_refusal(const IpAddress& address, std::string_view reason);
  void tell_refusals();
  // `words` for the device, `reason` for the log.
  void turn_away(std::uint64_t id, std::string_view words, std::string_view reason);
  void connection_ended(std::uint64_t id);
  void stop_on_loop();

  struct Waiting {  // accepted by the kernel, not yet by the gatekeeper
    std::unique_ptr<net::Connection> connection;
    bool implicit_tls;
    std::unique_ptr<net::Timer> patience;
  };
  std::unique_ptr<net::Loop> loop_;
  SubmissionServices& services_;
  Gatekeeper& gatekeeper_;
  PolicySnapshot policy_;
  std::vector<std::unique_ptr<net::TcpListener>> listeners_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::map<std::uint64_t, std::unique_ptr<SubmissionDriver>> drivers_;
  std::unique_ptr<net::Timer> grace_timer_;
  // By reason, one of turn_away()'s literals; an entry stands from its first until a quiet minute.
  std::map<std::string_view, std::uint64_t> refusals_untold_;
  std::unique_ptr<net::Timer> refusals_timer_;
  std::uint64_t last_id_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace postern::submission
