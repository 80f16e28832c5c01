// The sink's sessions: EHLO, STARTTLS, AUTH PLAIN, PIPELINING; content ends at CRLF.CRLF only.
#include "tools/benchmark/sink.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <utility>

#include "relay/base/encoding.hpp"
#include "relay/base/text.hpp"
#include "tools/benchmark/load.hpp"
#include "tools/benchmark/stream.hpp"

namespace postern::benchmark {

namespace {

// Where the number of a message and its signatures are looked for: a header with all trace fields.
constexpr std::size_t head_bytes_max = 16'384;
constexpr std::string_view content_end = "\r\n.\r\n";

struct Arrival {
  std::int64_t time = 0;
  std::uint64_t bytes = 0;
  unsigned signatures = 0;
};

class Sink;

class SinkSession final : public Stream {
 public:
  SinkSession(Sink& sink, Poller& poller, int descriptor);

 private:
  void on_octets(std::string_view octets) override;
  void on_end() override;
  void command(std::string_view line);
  void greet();
  // How many of `octets` belong to the content.
  std::size_t content(std::string_view octets);
  void content_done();

  Sink& sink_;
  std::string line_;
  bool logged_in_ = false;
  bool in_content_ = false;
  bool has_sender_ = false;
  bool has_recipient_ = false;
  std::string head_;
  std::string tail_;  // the last octets, as the end may come in pieces
  std::uint64_t bytes_ = 0;
};

class Sink final : public Watcher {
 public:
  Sink(Poller& poller, const SinkSettings& settings)
      : context(server_context(settings.certificate, settings.private_key)),
        credential(encode_base64(
            as_bytes(std::string(1, '\0') + settings.user + '\0' + settings.password))),
        poller_(poller),
        listener_(listen_on_loopback(settings.port)) {
    poller_.watch(listener_, *this, EPOLLIN, true);
  }
  void on_ready(std::uint32_t) override {
    for (;;) {
      const int accepted = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted < 0) return;
      ++connections_;
      new SinkSession(*this, poller_, accepted);  // deletes itself after its end
    }
  }
  void arrived(std::string_view head, std::uint64_t bytes);
  void expect(std::size_t messages, std::string file) {
    arrivals_.clear();
    duplicates_ = 0;
    connections_ = 0;
    expected_ = messages;
    file_ = std::move(file);
  }
  [[nodiscard]] std::size_t seen() const { return arrivals_.size(); }

  SSL_CTX* context;
  std::string credential;

 private:
  void report() const;
  Poller& poller_;
  int listener_;
  std::map<std::uint64_t, Arrival> arrivals_;
  std::size_t expected_ = 0;
  std::size_t duplicates_ = 0;
  std::size_t connections_ = 0;
  std::string file_;
};

void Sink::arrived(std::string_view head, std::uint64_t bytes) {
  const std::size_t at = head.find(number_field);
  if (at == std::string_view::npos) stop_with("a message without its number arrived");
  const std::string_view rest = head.substr(at + number_field.size());
  const auto number = parse_decimal<std::uint64_t>(trim(rest.substr(0, rest.find('\r'))));
  if (!number) stop_with("a message with a broken number arrived");
  unsigned signatures = 0;
  for (std::size_t from = 0; (from = head.find("DKIM-Signature:", from)) != std::string_view::npos;
       ++from) {
    ++signatures;
  }
  const bool fresh = arrivals_.emplace(*number, Arrival{nanoseconds(), bytes, signatures}).second;
  if (!fresh) ++duplicates_;
  if (fresh && arrivals_.size() == expected_) report();
}

void Sink::report() const {
  std::FILE* file = std::fopen(file_.c_str(), "w");
  if (file == nullptr) stop_with("cannot write " + file_);
  for (const auto& [number, arrival] : arrivals_) {
    std::fprintf(file, "%llu %lld %llu %u\n", static_cast<unsigned long long>(number),
                 static_cast<long long>(arrival.time),
                 static_cast<unsigned long long>(arrival.bytes), arrival.signatures);
  }
  std::fclose(file);
  std::printf("arrived %zu duplicates %zu connections %zu\n", arrivals_.size(), duplicates_,
              connections_);
  std::fflush(stdout);
}

SinkSession::SinkSession(Sink& sink, Poller& poller, int descriptor)
    : Stream(poller, descriptor), sink_(sink) {
  send("220 sink.example ESMTP\r\n");
}

void SinkSession::on_end() {
  poller_.later([this] { delete this; });
}

void SinkSession::on_octets(std::string_view octets) {
  while (!octets.empty()) {
    if (in_content_) {
      octets.remove_prefix(content(octets));
      continue;
    }
    const std::size_t end = octets.find('\n');
    line_.append(octets.substr(0, end));
    if (end == std::string_view::npos) return;
    octets.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    command(std::exchange(line_, {}));
  }
}

void SinkSession::greet() {
  send("250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n");
  send(in_tls() ? "250-AUTH PLAIN\r\n" : "250-STARTTLS\r\n");
  send("250 ENHANCEDSTATUSCODES\r\n");
}

void SinkSession::command(std::string_view line) {
  const std::string verb = to_lower(line.substr(0, line.find(' ')));
  if (verb == "ehlo") return greet();
  if (verb == "starttls" && !in_tls()) {
    send("220 2.0.0 go ahead\r\n");
    return start_tls_server(sink_.context);
  }
  if (verb == "auth") {
    logged_in_ = in_tls() && line.substr(line.rfind(' ') + 1) == sink_.credential;
    return send(logged_in_ ? "235 2.7.0 welcome\r\n" : "535 5.7.8 no\r\n");
  }
  if (verb == "quit") {
    send("221 2.0.0 bye\r\n");
    return close_when_sent();
  }
  if (verb == "rset" || verb == "noop") {
    if (verb == "rset") has_sender_ = has_recipient_ = false;
    return send("250 2.0.0 ok\r\n");
  }
  if (!logged_in_) return send("530 5.7.0 log in first\r\n");
  if (verb == "mail") {
    has_sender_ = true;
    return send("250 2.1.0 ok\r\n");
  }
  if (verb == "rcpt" && has_sender_) {
    has_recipient_ = true;
    return send("250 2.1.5 ok\r\n");
  }
  if (verb == "data" && has_recipient_) {
    in_content_ = true;
    head_.clear();
    tail_ = "\r\n";  // an empty message is the dot alone
    bytes_ = 0;
    return send("354 go ahead\r\n");
  }
  send("503 5.5.1 not now\r\n");
}

std::size_t SinkSession::content(std::string_view octets) {
  // The end that began in an earlier piece: at most four octets of it are in tail_.
  const std::string joint = tail_ + std::string(octets.substr(0, content_end.size() - 1));
  std::size_t taken = 0;
  if (const std::size_t at = joint.find(content_end); at != std::string::npos) {
    taken = at + content_end.size() - tail_.size();
  } else if (const std::size_t within = octets.find(content_end);
             within != std::string_view::npos) {
    taken = within + content_end.size();
  }
  const std::size_t length = taken != 0 ? taken : octets.size();
  bytes_ += length;
  if (head_.size() < head_bytes_max) {
    head_.append(octets.substr(0, std::min(length, head_bytes_max - head_.size())));
  }
  if (taken == 0) {
    tail_.append(octets.substr(octets.size() - std::min(octets.size(), content_end.size() - 1)));
    if (tail_.size() > content_end.size() - 1) {
      tail_.erase(0, tail_.size() - (content_end.size() - 1));
    }
    return length;
  }
  content_done();
  return length;
}

void SinkSession::content_done() {
  in_content_ = has_sender_ = has_recipient_ = false;
  sink_.arrived(head_, bytes_);
  send("250 2.0.0 taken\r\n");
}

// Standard input: what the benchmark asks for.
class Orders final : public Watcher {
 public:
  Orders(Poller& poller, Sink& sink) : poller_(poller), sink_(sink) {
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    poller_.watch(STDIN_FILENO, *this, EPOLLIN, true);
  }
  void on_ready(std::uint32_t) override {
    std::array<char, 4096> buffer{};
    const ssize_t length = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (length <= 0) return poller_.stop();
    text_.append(buffer.data(), static_cast<std::size_t>(length));
    for (std::size_t end = 0; (end = text_.find('\n')) != std::string::npos;) {
      order(text_.substr(0, end));
      text_.erase(0, end + 1);
    }
  }

 private:
  void order(const std::string& line) {
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    if (line.starts_with("expect ") && second != std::string::npos) {
      const auto count = parse_decimal<std::size_t>(line.substr(first + 1, second - first - 1));
      if (!count) stop_with("'" + line + "' names no number of messages");
      return sink_.expect(*count, line.substr(second + 1));
    }
    if (line != "seen") stop_with("'" + line + "' is no order");
    std::printf("seen %zu\n", sink_.seen());
    std::fflush(stdout);
  }

  Poller& poller_;
  Sink& sink_;
  std::string text_;
};

}  // namespace

void run_sink(const SinkSettings& settings) {
  Poller poller;
  Sink sink(poller, settings);
  Orders orders(poller, sink);
  std::printf("listening\n");
  std::fflush(stdout);
  poller.run();
}

}  // namespace postern::benchmark
