// Host names to addresses: c-ares asks, libuv waits.
//
// Sharp edge: c-ares calls back in the middle of its own work, where destroying the channel is
// fatal. So an answer only joins `answers` there, and the owner is told later, from a timer, one
// answer a turn.
#include "relay/net/resolver.hpp"

#include <ares.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/net/loop_parts.hpp"
#include "relay/net/os_address.hpp"

namespace postern::net {

namespace {

inline constexpr int resolver_timeout_ms = 2'500;  // first try; c-ares lets later ones wait longer
inline constexpr int resolver_tries = 3;           // per server
inline constexpr std::size_t host_name_bytes_max =
    253;  // RFC 1035 §2.3.4, as text without the last dot
inline constexpr const char* resolver_configuration = "/etc/resolv.conf";

using Done = Callback<Result<std::vector<SocketAddress>>>;

Error describe(const std::string& host, int status) {
  const std::string operation = "resolve " + host;
  switch (status) {
    case ARES_ENOTFOUND:
      return {ErrorKind::not_found, operation,
              "the name does not exist in the DNS; check its spelling"};
    case ARES_ENODATA:
      return {ErrorKind::not_found, operation, "the name has no address (neither A nor AAAA)"};
    case ARES_EBADNAME:
    case ARES_ENONAME:
      return {ErrorKind::invalid, operation, "this is not a host name"};
    case ARES_ETIMEOUT:
      return {ErrorKind::busy, operation, "no DNS server answered in time; is the network up?"};
    case ARES_ECONNREFUSED:
      return {ErrorKind::busy, operation,
              "no DNS server could be reached; check the servers in /etc/resolv.conf"};
    case ARES_ESERVFAIL:
      return {ErrorKind::busy, operation, "the DNS server failed to answer (SERVFAIL)"};
    case ARES_EREFUSED:
      return {ErrorKind::busy, operation, "the DNS server refused the question (REFUSED)"};
    default:
      return {ErrorKind::busy, operation, ares_strerror(status)};
  }
}

// Letters, digits, hyphen, underscore and dots (RFC 1123 §2.1; the underscore because it is in
// use): what else a configuration or a peer writes never reaches the DNS.
bool is_host_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > host_name_bytes_max || host.starts_with('.')) return false;
  if (host.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(
      host, [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; });
}

// "192.0.2.1", "2001:db8::1", and both in brackets as routes are often written.
std::optional<IpAddress> parse_literal(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (starts_with_ignoring_case(host, "IPv6:")) host.remove_prefix(5);
  }
  return IpAddress::parse(host);
}

// What tells whether /etc/resolv.conf is still the file that was read.
struct FileMark {
  ino_t inode = 0;
  off_t size = 0;
  timespec changed{};
  static FileMark of(const char* path) {
    struct stat found{};
    if (stat(path, &found) != 0) return {};
    return {found.st_ino, found.st_size, found.st_mtim};
  }
  bool operator==(const FileMark& other) const {
    return inode == other.inode && size == other.size && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
};

}  // namespace

struct Resolver::Parts {
  struct Question {
    Parts* parts;
    std::string host;
    std::uint16_t port;
    Done done;
  };
  struct Answer {
    Done done;
    Result<std::vector<SocketAddress>> result;
  };
  // One socket of c-ares, watched.
  struct Watch {
    uv_poll_t poll{};
    Parts* parts = nullptr;
    ares_socket_t socket = ARES_SOCKET_BAD;
  };

  Parts(Loop& on, std::string dns_servers)
      : loop(on), servers(std::move(dns_servers)), retry_timer(on), answer_timer(on) {}
  ~Parts() { close_channel(); }

  [[nodiscard]] Result<> open_channel();
  void close_channel();
  [[nodiscard]] Result<> follow_configuration();
  void ask(Question* question);
  void answer(Done done, Result<std::vector<SocketAddress>> result);
  void tell_one();
  void process(ares_socket_t readable, ares_socket_t writable);
  void wait_for_retry();
  void watch(ares_socket_t socket, bool readable, bool writable);
  static void on_socket_state(void* data, ares_socket_t socket, int readable, int writable);
  static void on_poll(uv_poll_t* poll, int status, int events);
  static void on_answer(void* argument, int status, int timeouts, ares_addrinfo* found);

  Loop& loop;
  const std::string servers;
  Timer retry_timer;
  Timer answer_timer;
  ares_channel channel = nullptr;
  FileMark configuration;
  std::map<ares_socket_t, Watch*> watches;
  std::deque<Answer> answers;
  std::size_t questions = 0;
  bool closing = false;
};

Resolver::Resolver() = default;
Resolver::~Resolver() = default;

Result<std::unique_ptr<Resolver>> Resolver::create(Loop& loop, std::string servers) {
  // Once for the process: it counts its calls without a lock.
  static const int library = ares_library_init(ARES_LIB_INIT_ALL);
  if (library != ARES_SUCCESS) {
    return fail(ErrorKind::io, "start the resolver", ares_strerror(library));
  }
  std::unique_ptr<Resolver> resolver(new Resolver());
  resolver->parts_ = std::make_unique<Parts>(loop, std::move(servers));
  if (Result<> opened = resolver->parts_->open_channel(); !opened) {
    return std::unexpected(std::move(opened.error()));
  }
  return resolver;
}

Result<> Resolver::Parts::open_channel() {
  closing = false;
  configuration = FileMark::of(resolver_configuration);
  ares_options options{};
  // No search domains: both ways of saying so, because c-ares before 1.2x reads only the second.
  options.flags = ARES_FLAG_NOSEARCH;
  options.ndomains = 0;
  options.domains = nullptr;
  options.timeout = resolver_timeout_ms;
  options.tries = resolver_tries;
  options.sock_state_cb = on_socket_state;
  options.sock_state_cb_data = this;
  char lookups[] = "fb";  // the hosts file, then the DNS; nothing of nsswitch.conf
  options.lookups = lookups;
  const int mask = ARES_OPT_FLAGS | ARES_OPT_DOMAINS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                   ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS;
  if (const int status = ares_init_options(&channel, &options, mask); status != ARES_SUCCESS) {
    channel = nullptr;
    return fail(ErrorKind::io, "start the resolver", ares_strerror(status));
  }
  if (servers.empty()) return {};
  if (const int status = ares_set_servers_ports_csv(channel, servers.c_str());
      status != ARES_SUCCESS) {
    return fail(ErrorKind::invalid, "use the DNS servers " + servers, ares_strerror(status));
  }
  return {};
}

void Resolver::Parts::close_channel() {
  closing = true;  // ares_destroy answers every question with ARES_EDESTRUCTION
  if (channel != nullptr) ares_destroy(channel);
  channel = nullptr;
  while (!watches.empty()) watch(watches.begin()->first, false, false);
}

Result<> Resolver::Parts::follow_configuration() {
  if (channel != nullptr) {
    if (!servers.empty() || questions > 0) return {};
    if (FileMark::of(resolver_configuration) == configuration) return {};
    close_channel();
  }
  return open_channel();
}

void Resolver::resolve(const std::string& host, std::uint16_t port, Done done) {
  Parts& parts = *parts_;
  if (const auto literal = parse_literal(host)) {
    return parts.answer(std::move(done), std::vector{SocketAddress{*literal, port}});
  }
  if (!is_host_name(host)) {
    const std::string shown = host.substr(0, host_name_bytes_max);
    return parts.answer(std::move(done), std::unexpected(describe(shown, ARES_EBADNAME)));
  }
  if (parts.questions >= resolver_questions_max) {
    return parts.answer(std::move(done), fail(ErrorKind::busy, "resolve " + host,
                                              "too many names are being resolved already"));
  }
  if (Result<> followed = parts.follow_configuration(); !followed) {
    return parts.answer(std::move(done), std::unexpected(std::move(followed.error())));
  }
  parts.ask(new Parts::Question{&parts, host, port, std::move(done)});
}

void Resolver::Parts::ask(Question* question) {
  ++questions;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;  // the DNS's order; sorting would open a socket per address
  ares_getaddrinfo(channel, question->host.c_str(), nullptr, &hints, on_answer, question);
  wait_for_retry();
}

void Resolver::Parts::on_answer(void* argument, int status, int /*timeouts*/,
                                ares_addrinfo* found) {
  const std::unique_ptr<Question> question(static_cast<Question*>(argument));
  Parts& parts = *question->parts;
  --parts.questions;
  if (parts.closing) {
    if (found != nullptr) ares_freeaddrinfo(found);
    return;
  }
  if (status != ARES_SUCCESS) {
    return parts.answer(std::move(question->done),
                        std::unexpected(describe(question->host, status)));
  }
  std::vector<SocketAddress> addresses;
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
    if (addresses.size() == addresses_max) break;
    auto address = from_os_address(node->ai_addr);
    if (!address) continue;
    address->port = question->port;
    // The hosts file and a hostile answer may name one address many times.
    if (std::ranges::find(addresses, *address) == addresses.end()) addresses.push_back(*address);
  }
  ares_freeaddrinfo(found);
  if (addresses.empty()) {
    return parts.answer(std::move(question->done),
                        std::unexpected(describe(question->host, ARES_ENODATA)));
  }
  parts.answer(std::move(question->done), std::move(addresses));
}

void Resolver::Parts::answer(Done done, Result<std::vector<SocketAddress>> result) {
  answers.push_back({std::move(done), std::move(result)});
  if (answers.size() == 1) answer_timer.start(Duration(0), [this] { tell_one(); });
}

void Resolver::Parts::tell_one() {
  Answer one = std::move(answers.front());
  answers.pop_front();
  if (!answers.empty()) answer_timer.start(Duration(0), [this] { tell_one(); });
  one.done(std::move(one.result));  // last: it may destroy the Resolver
}

void Resolver::Parts::on_socket_state(void* data, ares_socket_t socket, int readable,
                                      int writable) {
  static_cast<Parts*>(data)->watch(socket, readable != 0, writable != 0);
}

void Resolver::Parts::watch(ares_socket_t socket, bool readable, bool writable) {
  auto found = watches.find(socket);
  if (!readable && !writable) {
    if (found == watches.end()) return;
    Watch* gone = found->second;
    watches.erase(found);
    uv_close(reinterpret_cast<uv_handle_t*>(&gone->poll),
             [](uv_handle_t* handle) { delete static_cast<Watch*>(handle->data); });
    return;
  }
  if (found == watches.end()) {
    auto* made = new Watch();
    made->parts = this;
    made->socket = socket;
    made->poll.data = made;
    if (uv_poll_init(&loop.parts().loop, &made->poll, socket) < 0) {
      delete made;  // c-ares then runs into its timeout, which is told as such
      return;
    }
    found = watches.emplace(socket, made).first;
  }
  uv_poll_start(&found->second->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                on_poll);
}

void Resolver::Parts::on_poll(uv_poll_t* poll, int status, int events) {
  auto* watch = static_cast<Watch*>(poll->data);
  // After an error both ways are tried, so that c-ares finds it out and closes the socket.
  const bool readable = status < 0 || (events & UV_READABLE) != 0;
  const bool writable = status < 0 || (events & UV_WRITABLE) != 0;
  watch->parts->process(readable ? watch->socket : ARES_SOCKET_BAD,
                        writable ? watch->socket : ARES_SOCKET_BAD);
}

void Resolver::Parts::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel, readable, writable);
  wait_for_retry();
}

void Resolver::Parts::wait_for_retry() {
  timeval wait{};
  if (channel == nullptr || ares_timeout(channel, nullptr, &wait) == nullptr) {
    retry_timer.stop();
    return;
  }
  const Duration delay(wait.tv_sec * 1'000 + wait.tv_usec / 1'000 + 1);
  retry_timer.start(delay, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
}

}  // namespace postern::net
