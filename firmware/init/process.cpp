// Starting programs; see the header.
#include "firmware/init/process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::size_t output_bytes_max = 64 * 1024;
constexpr int turn_milliseconds = 1000;
constexpr rlim_t open_files_max = 16'384;

bool set_capabilities(std::uint32_t mask) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{mask, mask, mask}, {0, 0, 0}};
  return ::syscall(SYS_capset, &header, data) == 0;
}

bool become(unsigned user, bool low_ports) {
  const std::uint32_t kept = low_ports ? 1U << CAP_NET_BIND_SERVICE : 0;
  for (unsigned long each = 0; each <= CAP_LAST_CAP; ++each) {
    if (!(low_ports && each == CAP_NET_BIND_SERVICE)) ::prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
  }
  const gid_t group = user;
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setgroups(1, &group) != 0 ||
      ::setresgid(group, group, group) != 0 || ::setresuid(user, user, user) != 0 ||
      !set_capabilities(kept)) {
    return false;
  }
  if (low_ports && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) != 0)
    return false;
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

[[noreturn]] void be_the_program(const Launch& what) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  // A console that is slow or stopped (a stray XOFF) must not stop a program: what it does not take
  // is lost.
  const int output =
      what.output >= 0 ? what.output : ::open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK);
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::close_range(3, ~0U, 0);
  ::umask(077);
  const rlimit files{open_files_max, open_files_max}, none_written{0, 0};
  ::setrlimit(RLIMIT_NOFILE, &files);
  ::setrlimit(RLIMIT_CORE, &none_written);
  if (what.user != 0 && !become(what.user, what.low_ports)) ::_exit(126);
  std::vector<char*> words, environment;
  for (const std::string& word : what.words) words.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& word : what.environment)
    environment.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  environment.push_back(nullptr);
  ::execve(words[0], words.data(), environment.data());
  ::_exit(127);
}

// One read; false at the end.
bool take_output(int fd, std::string& output) {
  char buffer[1024];
  const ssize_t count = ::read(fd, buffer, sizeof buffer);
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  if (output.size() < output_bytes_max) output.append(buffer, static_cast<std::size_t>(count));
  return true;
}

}  // namespace

pid_t launch(const Launch& what) {
  const pid_t child = ::fork();
  if (child == 0) be_the_program(what);
  if (child < 0) say_errno("cannot start " + what.words.front(), errno);
  return child;
}

int run_and_wait(const std::vector<std::string>& words, unsigned user, std::string& output,
                 const std::function<void()>& meanwhile, std::chrono::seconds time_max) {
  output.clear();
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  const pid_t child = launch({words, {"PATH=/usr/sbin:/usr/bin"}, user, false, ends[1]});
  ::close(ends[1]);
  int status = 0;
  bool open = true, running = child > 0;
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  while (open || running) {
    meanwhile();
    if (running && std::chrono::steady_clock::now() > deadline) ::kill(child, SIGKILL);
    pollfd wanted{ends[0], POLLIN, 0};
    if (open && ::poll(&wanted, 1, turn_milliseconds) > 0) open = take_output(ends[0], output);
    if (!running) continue;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    running = ended == 0 || (ended < 0 && errno == EINTR);
    if (running && !open) ::usleep(turn_milliseconds * 100);
  }
  ::close(ends[0]);
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace postern::firmware
