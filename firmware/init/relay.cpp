// The relay's process; see the header.
#include "firmware/init/relay.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string_view>

#include "firmware/init/process.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::chrono::seconds stop_time_max{90};  // the relay's own bound is shorter
constexpr std::chrono::seconds kill_time_max{10};  // one that waits for its medium even then
constexpr std::chrono::seconds silence_max{60};    // the relay's watchdog
constexpr int notes_max = 64;                      // at once: more is a relay gone mad
constexpr std::chrono::minutes patience{2};        // then others need not wait for it
constexpr char notify_path[] = "/run/notify";

}  // namespace

void Relay::listen() {
  notes_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string_view(notify_path).copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(notes_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chown(notify_path, relay_user, relay_user) != 0 || ::chmod(notify_path, 0600) != 0) {
    say_errno("the relay's notify socket", errno);
  }
}

void Relay::take_notes() {
  char buffer[512];
  for (int taken = 0; taken < notes_max; ++taken) {
    const ssize_t count = ::recv(notes_, buffer, sizeof buffer, 0);
    if (count <= 0) return;
    const std::string_view note(buffer, static_cast<std::size_t>(count));
    if (note.contains("WATCHDOG=1")) {
      fed_ = true;
      last_fed_ = Clock::now();
    }
    if (note.contains("READY=1") && !ready_ && !told_to_end_) {
      ready_ = true;
      policy_.worked();
      start_time_ = start_time_min;
      const auto uptime = read_file("/proc/uptime").value_or("?");
      say("ready to accept mail " + std::string(uptime.substr(0, uptime.find(' '))) +
          " s after the kernel's start");
    }
  }
}

void Relay::look_after() {
  const auto now = Clock::now();
  if (process_ > 0) {
    // Only a relay that fed the watchdog once is held to it; until then it has start_time_.
    if (fed_ && now - last_fed_ > silence_max) {
      say("the relay makes no progress; it is ended and started again");
      ::kill(process_, SIGKILL);
      fed_ = false;
    }
    if (!ready_ && !told_to_end_ && now - launched_ > start_time_) {
      say("the relay does not become ready; it is ended and started again with more time");
      ::kill(process_, SIGKILL);
      launched_ = now;
      start_time_ *= 2;
    }
    if (told_to_end_ && now - wanted_since_ > stop_time_max) ::kill(process_, SIGKILL);
    return;
  }
  if (now < start_again_) return;
  ready_ = fed_ = told_to_end_ = false;
  const std::string notify = std::string("NOTIFY_SOCKET=") + notify_path;
  process_ = launch({{"/usr/sbin/posternd", "--config", "/data/config/postern.toml"},
                     {"PATH=/usr/sbin:/usr/bin", notify, "WATCHDOG_USEC=60000000"},
                     relay_user,
                     true,
                     -1});
  launched_ = now;
  if (process_ < 0) start_again_ = now + policy_.ended(now);
}

void Relay::child_ended(pid_t child, int status) {
  if (child != process_) return;
  process_ = -1;
  if (told_to_end_) return;  // look_after() starts it at once
  const auto wait = policy_.ended(Clock::now());
  start_again_ = Clock::now() + wait;
  ++ends_;
  last_end_ =
      "the relay ended " + (WIFEXITED(status) ? "with code " + std::to_string(WEXITSTATUS(status))
                                              : "by signal " + std::to_string(WTERMSIG(status)));
  say(last_end_ +
      (wait == RestartPolicy::safe_mode_time ? "; it ended too often: safe mode, no relay for "
                                             : "; started again in ") +
      std::to_string(wait.count()) + " s");
}

void Relay::restart() {
  policy_.forgive();
  start_time_ = start_time_min;
  start_again_ = {};
  wanted_since_ = Clock::now();
  ready_ = false;
  if (process_ < 0) return;
  told_to_end_ = true;
  ::kill(process_, SIGTERM);
}

void Relay::hurry() {
  if (process_ < 0) start_again_ = {};
}

void Relay::reload() {
  hurry();
  if (process_ > 0) ::kill(process_, SIGHUP);
}

void Relay::stop(const FeedWatchdog& feed) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    const auto deadline = Clock::now() + (signal == SIGTERM ? stop_time_max : kill_time_max);
    if (process_ > 0) ::kill(process_, signal);
    while (process_ > 0 && Clock::now() < deadline) {
      feed();
      if (::waitpid(process_, nullptr, WNOHANG) == process_) process_ = -1;
      ::usleep(100'000);
    }
  }
}

bool Relay::never_ready() const { return start_time_ > start_time_min; }

bool Relay::settled() const {
  return ready() || safe_mode() || Clock::now() - wanted_since_ > patience;
}

}  // namespace postern::firmware
