// The load source's sessions: STARTTLS, AUTH PLAIN, one recipient a message.
#include "tools/benchmark/load.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "relay/base/clock.hpp"
#include "relay/base/encoding.hpp"
#include "tools/benchmark/stream.hpp"

namespace postern::benchmark {

namespace {

constexpr std::size_t body_line_bytes = 76;  // base64 in mail, RFC 2045 §6.8
constexpr std::size_t header_bytes_about = 400;
// So many idle connections shake hands at once: a thousand at once would wait for each other.
constexpr std::size_t logins_at_once_max = 8;

struct Times {
  std::int64_t mail = 0;
  std::int64_t accepted = 0;
};

class LoadSession;

struct LoadRun {
  Poller poller;
  const LoadSettings& settings;
  SSL_CTX* context;
  std::string credential;
  std::string body;  // with the final dot
  std::string date;
  std::vector<Times> times;
  std::size_t begun = 0;  // messages
  std::size_t done = 0;
  std::size_t opened = 0;  // connections
  std::size_t logged_in = 0;
  std::size_t open = 0;

  explicit LoadRun(const LoadSettings& from);
  void open_session();
};

class LoadSession final : public Stream {
 public:
  explicit LoadSession(LoadRun& run)
      : Stream(run.poller, connect_to_loopback(run.settings.port)), run_(run) {}

 private:
  enum class State { greeting, ehlo, starttls, ehlo_again, auth, mail, rcpt, data, content, quit };
  void on_octets(std::string_view octets) override;
  void on_tls() override;
  void on_end() override;
  void reply(std::string_view line);
  void enter(State state, std::string_view command);
  void next_message();
  void send_content();
  void expect(std::string_view line, char first) const;

  LoadRun& run_;
  State state_ = State::greeting;
  std::string line_;
  std::size_t number_ = 0;
};

LoadRun::LoadRun(const LoadSettings& from)
    : settings(from),
      context(client_context(from.roots)),
      credential(encode_base64(as_bytes(std::string(1, '\0') + from.user + '\0' + from.password))),
      date(format_mail_date(read_clocks().wall)),
      times(from.messages) {
  // Text that looks like a scan in base64; the same for every message and every run.
  static constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::uint64_t state = 88'172'645'463'325'252ULL;  // any seed but zero (xorshift)
  const std::size_t bytes =
      from.message_bytes > header_bytes_about ? from.message_bytes - header_bytes_about : 0;
  while (body.size() < bytes) {
    for (std::size_t i = 0; i < body_line_bytes; ++i) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      body += alphabet[state % alphabet.size()];
    }
    body += "\r\n";
  }
  body += ".\r\n";
}

void LoadRun::open_session() {
  ++open;
  new LoadSession(*this);  // deletes itself after its end
}

void LoadSession::on_octets(std::string_view octets) {
  while (!octets.empty()) {
    const std::size_t end = octets.find('\n');
    line_.append(octets.substr(0, end));
    if (end == std::string_view::npos) return;
    octets.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, {});
    if (line.size() < 4) stop_with("the server says '" + line + "'");
    if (line[3] != '-') reply(line);
  }
}

void LoadSession::expect(std::string_view line, char first) const {
  if (line[0] == first) return;
  stop_with("the server says '" + std::string(line.substr(0, line.find('\r'))) + "' in state " +
            std::to_string(static_cast<int>(state_)));
}

void LoadSession::enter(State state, std::string_view command) {
  state_ = state;
  send(command);
}

void LoadSession::reply(std::string_view line) {
  expect(line, state_ == State::data ? '3' : '2');
  switch (state_) {
    case State::greeting:
      return enter(State::ehlo, "EHLO device.office.example\r\n");
    case State::ehlo:
      return enter(State::starttls, "STARTTLS\r\n");
    case State::starttls:
      return start_tls_client(run_.context, "localhost");
    case State::ehlo_again:
      return enter(State::auth, "AUTH PLAIN " + run_.credential + "\r\n");
    case State::auth:
      ++run_.logged_in;
      return next_message();
    case State::mail:
      return enter(State::rcpt, "RCPT TO:<" + run_.settings.recipient + ">\r\n");
    case State::rcpt:
      return enter(State::data, "DATA\r\n");
    case State::data:
      return send_content();
    case State::content:
      run_.times[number_].accepted = nanoseconds();
      ++run_.done;
      if (run_.settings.mode == LoadMode::kept) return next_message();
      return enter(State::quit, "QUIT\r\n");
    case State::quit:
      return close_when_sent();
  }
}

void LoadSession::on_tls() { enter(State::ehlo_again, "EHLO device.office.example\r\n"); }

void LoadSession::next_message() {
  if (run_.settings.mode == LoadMode::idle) {
    if (run_.opened < run_.settings.connections) {
      ++run_.opened;
      run_.open_session();
    } else if (run_.logged_in == run_.settings.connections) {
      run_.poller.stop();
    }
    return;
  }
  if (run_.begun == run_.settings.messages) return enter(State::quit, "QUIT\r\n");
  number_ = run_.begun++;
  run_.times[number_].mail = nanoseconds();
  enter(State::mail, "MAIL FROM:<" + run_.settings.sender + ">\r\n");
}

void LoadSession::send_content() {
  const std::string number = std::to_string(number_);
  enter(State::content, "From: Copier on the second floor <" + run_.settings.sender +
                            ">\r\nTo: " + run_.settings.recipient + "\r\nSubject: Scan " + number +
                            "\r\nDate: " + run_.date + "\r\nMessage-ID: <scan." + number +
                            "@copier.office.example>\r\n" + std::string(number_field) + ' ' +
                            number +
                            "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
                            "charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n");
  send_shared(run_.body);
}

void LoadSession::on_end() {
  if (state_ != State::quit) stop_with("the server closed a connection");
  run_.poller.later([this] {
    LoadRun& run = run_;
    delete this;
    --run.open;
    if (run.settings.mode == LoadMode::one && run.opened < run.settings.messages) {
      ++run.opened;
      return run.open_session();
    }
    if (run.open == 0) run.poller.stop();
  });
}

void wait_for_end_of_input() {
  std::printf("ready\n");
  std::fflush(stdout);
  std::array<char, 64> ignored{};
  while (read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
}

}  // namespace

void run_load(const LoadSettings& settings) {
  LoadRun run(settings);
  const bool idle = settings.mode == LoadMode::idle;
  const std::int64_t begun = nanoseconds();
  const std::size_t at_once = idle ? logins_at_once_max : settings.messages;
  for (std::size_t i = 0; i < std::min(settings.connections, at_once); ++i) {
    ++run.opened;
    run.open_session();
  }
  run.poller.run();
  if (idle) return wait_for_end_of_input();
  std::FILE* file = std::fopen(settings.report.c_str(), "w");
  if (file == nullptr) stop_with("cannot write " + settings.report);
  std::fprintf(file, "begun %lld\n", static_cast<long long>(begun));
  for (std::size_t number = 0; number < run.times.size(); ++number) {
    std::fprintf(file, "%zu %lld %lld\n", number, static_cast<long long>(run.times[number].mail),
                 static_cast<long long>(run.times[number].accepted));
  }
  std::fclose(file);
}

}  // namespace postern::benchmark
