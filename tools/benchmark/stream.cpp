// The sockets, TLS and epoll of the load source and the sink.
#include "tools/benchmark/stream.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

namespace postern::benchmark {

namespace {

constexpr int events_per_turn_max = 256;
constexpr int backlog_connections = 512;

std::string tls_words() {
  std::array<char, 256> words{};
  ERR_error_string_n(ERR_get_error(), words.data(), words.size());
  return words.data();
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int make_socket() {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) stop_with(std::string("cannot make a socket: ") + std::strerror(errno));
  return descriptor;
}

}  // namespace

void stop_with(const std::string& sentence) {
  std::fprintf(stderr, "postern-bench: %s\n", sentence.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

std::int64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

SSL_CTX* server_context(const std::string& certificate, const std::string& key) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    stop_with("cannot use " + certificate + " and " + key + ": " + tls_words());
  }
  // Without it OpenSSL refuses to resume, and a relay that resumes could not show it.
  constexpr std::array<unsigned char, 4> name = {'s', 'i', 'n', 'k'};
  SSL_CTX_set_session_id_context(context, name.data(), name.size());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  return context;
}

SSL_CTX* client_context(const std::string& roots) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_file(context, roots.c_str()) != 1) {
    stop_with("cannot read the roots " + roots + ": " + tls_words());
  }
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Poller::Poller() : descriptor_(epoll_create1(EPOLL_CLOEXEC)) {
  if (descriptor_ < 0) stop_with(std::string("epoll: ") + std::strerror(errno));
}

void Poller::watch(int descriptor, Watcher& watcher, std::uint32_t events, bool fresh) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watcher;
  if (epoll_ctl(descriptor_, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event) != 0) {
    stop_with(std::string("epoll: ") + std::strerror(errno));
  }
}

void Poller::run() {
  std::array<epoll_event, events_per_turn_max> events{};
  while (!stopped_) {
    const int count = epoll_wait(descriptor_, events.data(), events_per_turn_max, -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      static_cast<Watcher*>(event.data.ptr)->on_ready(event.events);
    }
    for (auto& task : std::exchange(tasks_, {})) task();
  }
}

Stream::Stream(Poller& poller, int descriptor) : poller_(poller), descriptor_(descriptor) {
  const int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  interest_ = EPOLLIN | EPOLLOUT;  // also for what the constructor of a session sends
  poller_.watch(descriptor_, *this, interest_, true);
}

Stream::~Stream() {
  if (tls_ != nullptr) SSL_free(tls_);
  close(descriptor_);
}

void Stream::send(std::string_view octets) {
  if (!shared_.empty()) stop_with("send() before the shared octets have left");
  out_.append(octets);
}

void Stream::send_shared(std::string_view octets) { shared_ = octets; }

void Stream::start_tls_server(SSL_CTX* context) {
  flush();
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, descriptor_);
  SSL_set_accept_state(tls_);
}

void Stream::start_tls_client(SSL_CTX* context, const std::string& host) {
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, descriptor_);
  SSL_set_connect_state(tls_);
  SSL_set_tlsext_host_name(tls_, host.c_str());
  if (SSL_set1_host(tls_, host.c_str()) != 1) stop_with("cannot verify the name " + host);
}

void Stream::on_ready(std::uint32_t events) {
  if (ended_) return;
  wants_write_ = false;
  if (shake_hands() && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some();
  // An answer may begin TLS: its first step is ours on the client's side.
  if (!ended_ && shake_hands()) flush();
  if (!ended_ && closing_ && out_.empty() && shared_.empty()) end();
  if (!ended_) update_interest();
}

// True when octets may be read and written.
bool Stream::shake_hands() {
  if (tls_ == nullptr || hands_shaken_) return true;
  ERR_clear_error();
  const int done = SSL_do_handshake(tls_);
  if (done == 1) {
    hands_shaken_ = true;
    on_tls();
    return true;
  }
  const int why = SSL_get_error(tls_, done);
  if (why == SSL_ERROR_WANT_WRITE) wants_write_ = true;
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return false;
  stop_with("the TLS handshake failed: " + tls_words());
}

void Stream::read_some() {
  static std::array<char, chunk_bytes> buffer;  // one thread, one read at a time
  for (int chunk = 0; chunk < chunks_per_turn_max || (tls_ != nullptr && SSL_pending(tls_) > 0);
       ++chunk) {
    if (tls_ != nullptr && !hands_shaken_) return;
    ssize_t length = 0;
    if (tls_ != nullptr) {
      ERR_clear_error();
      length = SSL_read(tls_, buffer.data(), static_cast<int>(buffer.size()));
      if (length <= 0) {
        if (SSL_get_error(tls_, static_cast<int>(length)) == SSL_ERROR_WANT_READ) return;
        return end();
      }
    } else {
      length = recv(descriptor_, buffer.data(), buffer.size(), 0);
      if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (length <= 0) return end();
    }
    on_octets({buffer.data(), static_cast<std::size_t>(length)});
    if (ended_) return;
  }
}

std::size_t Stream::write(std::string_view octets) {
  if (tls_ == nullptr) {
    const ssize_t length = ::send(descriptor_, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (length < 0 && errno != EAGAIN && errno != EINTR) end();
    return length < 0 ? 0 : static_cast<std::size_t>(length);
  }
  ERR_clear_error();
  const auto size = static_cast<int>(std::min(octets.size(), tls_write_bytes));
  const int length = SSL_write(tls_, octets.data(), size);
  if (length <= 0) {
    if (SSL_get_error(tls_, length) != SSL_ERROR_WANT_WRITE) end();
    return 0;
  }
  return static_cast<std::size_t>(length);
}

void Stream::flush() {
  while (!ended_ && (!out_.empty() || !shared_.empty())) {
    const bool small = !out_.empty();
    const std::size_t length = write(small ? std::string_view(out_).substr(out_sent_) : shared_);
    if (length == 0) {
      wants_write_ = true;
      return;
    }
    if (!small) {
      shared_.remove_prefix(length);
    } else if ((out_sent_ += length) == out_.size()) {
      out_.clear();
      out_sent_ = 0;
    }
  }
}

void Stream::end() {
  if (ended_) return;
  ended_ = true;
  if (tls_ != nullptr && hands_shaken_) SSL_shutdown(tls_);
  shutdown(descriptor_, SHUT_RDWR);
  interest_ = 0;
  poller_.watch(descriptor_, *this, 0, false);
  on_end();
}

void Stream::update_interest() {
  const std::uint32_t interest = EPOLLIN | (wants_write_ ? std::uint32_t{EPOLLOUT} : 0U);
  if (interest == interest_) return;
  interest_ = interest;
  poller_.watch(descriptor_, *this, interest_, false);
}

int listen_on_loopback(std::uint16_t port) {
  const int descriptor = make_socket();
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = loopback(port);
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(descriptor, backlog_connections) != 0) {
    stop_with("cannot listen on port " + std::to_string(port) + ": " + std::strerror(errno));
  }
  return descriptor;
}

int connect_to_loopback(std::uint16_t port) {
  const int descriptor = make_socket();
  const sockaddr_in address = loopback(port);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    stop_with("cannot connect to port " + std::to_string(port) + ": " + std::strerror(errno));
  }
  return descriptor;
}

}  // namespace postern::benchmark
