// A non-blocking socket that may become TLS, and the epoll loop that drives it: what the load
// source and the sink of tools/bench stand on.
//
// Promise: as little work an octet as the machine allows, so that the measured server and not the
// measuring program fills the cores; what is sent leaves in order. OpenSSL is taken on purpose: it
// is what most devices and upstreams have, it shares no code with the server under measurement, and
// a verified handshake costs it a tenth of what it costs mbedTLS.
// Sharp edge: an error is the end of the run: stop_with() prints a sentence and leaves the process.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::benchmark {

inline constexpr std::size_t chunk_bytes = 65'536;      // one read of a socket, four TLS records
inline constexpr int chunks_per_turn_max = 8;           // then the other connections get their turn
inline constexpr std::size_t tls_write_bytes = 16'384;  // one record

[[noreturn]] void stop_with(const std::string& sentence);

// CLOCK_MONOTONIC, which both programs read: their times may be subtracted from each other.
[[nodiscard]] std::int64_t nanoseconds();

// Contexts live as long as the process.
[[nodiscard]] SSL_CTX* server_context(const std::string& certificate, const std::string& key);
// Verifies, and never resumes: every handshake is a whole one.
[[nodiscard]] SSL_CTX* client_context(const std::string& roots);

// Something that waits for a descriptor.
class Watcher {
 public:
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~Watcher() = default;
};

class Poller {
 public:
  Poller();
  void watch(int descriptor, Watcher& watcher, std::uint32_t events, bool fresh);
  void run();  // until stop()
  void stop() { stopped_ = true; }
  // Runs when the events at hand were told: the place to delete a Watcher.
  void later(std::function<void()> task) { tasks_.push_back(std::move(task)); }

 private:
  int descriptor_;
  bool stopped_ = false;
  std::vector<std::function<void()>> tasks_;
};

class Stream : public Watcher {
 public:
  Stream(Poller& poller, int descriptor);
  virtual ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void send(std::string_view octets);
  // Sends `octets` without copying; they must outlive the connection. Nothing may be sent until
  // they have left.
  void send_shared(std::string_view octets);
  void start_tls_server(SSL_CTX* context);
  void start_tls_client(SSL_CTX* context, const std::string& host);
  [[nodiscard]] bool in_tls() const { return tls_ != nullptr; }
  // After what was sent has left; on_end() follows.
  void close_when_sent() { closing_ = true; }

 protected:
  virtual void on_octets(std::string_view octets) = 0;
  virtual void on_tls() {}
  virtual void on_end() = 0;  // once; deletes itself by Poller::later

  Poller& poller_;

 private:
  void on_ready(std::uint32_t events) final;
  [[nodiscard]] bool shake_hands();
  void read_some();
  void flush();
  [[nodiscard]] std::size_t write(std::string_view octets);
  void end();
  void update_interest();

  int descriptor_;
  SSL* tls_ = nullptr;
  bool hands_shaken_ = false;
  bool wants_write_ = false;
  bool closing_ = false;
  bool ended_ = false;
  std::uint32_t interest_ = 0;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::string_view shared_;
};

// Loopback only. The listener is non-blocking; the connected socket too, and connects meanwhile.
[[nodiscard]] int listen_on_loopback(std::uint16_t port);
[[nodiscard]] int connect_to_loopback(std::uint16_t port);

}  // namespace postern::benchmark
