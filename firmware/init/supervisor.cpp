// The supervisor: the only process that lives as long as the box runs.
//
// Promise: feeds the watchdog as long as its own loop turns; opens the data partition, takes a
// dropped configuration, gets an address, and keeps the relay running with growing waits. Without a
// valid configuration no relay runs, so no port is open. Sharp edge: as process 1 it must never
// end.
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "firmware/init/box.hpp"
#include "firmware/init/network.hpp"
#include "firmware/init/orders.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/restart_policy.hpp"
#include "firmware/init/slots.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"
#include "firmware/init/time_client.hpp"

namespace postern::firmware {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int turn_milliseconds = 1000;
constexpr std::chrono::seconds stop_time_max{90};  // the relay's own bound is shorter
constexpr std::chrono::seconds silence_max{60};    // the relay's watchdog
constexpr std::chrono::minutes clock_note_every{10};
constexpr std::chrono::hours renewal_every{24};
constexpr std::chrono::seconds trial_health{20};  // so long the relay must run
constexpr std::chrono::minutes trial_time_max{5};
constexpr int trial_ends_max = 3;
constexpr char update_story_file[] = "/data/box/update";
constexpr char notify_path[] = "/run/notify";
constexpr char clock_file[] = "/data/clock";

void prepare_places() {
  ::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=8m");
  ::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=16m");
  ::mkdir("/run/postern", 0755);
  if (::chown("/run/postern", relay_user, relay_user) != 0) say_errno("/run/postern", errno);
  bring_up("lo");
}

std::int64_t number_in(std::string_view text) {
  std::int64_t value = 0;
  const std::string_view digits = trimmed(text);
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::int64_t image_date() {
  const std::string command_line = read_file("/proc/cmdline").value_or("");
  return number_in(parameter(command_line, "postern.built").value_or("0"));
}

// A box without a battery wakes in 1970: never earlier than the image was made, nor than it last
// ran.
void set_clock_floor() {
  const std::int64_t floor = std::max(image_date(), number_in(read_file(clock_file).value_or("0")));
  if (::time(nullptr) >= floor) return;
  const timeval now{floor, 0};
  if (::settimeofday(&now, nullptr) == 0)
    say("the clock was behind; it is set to the latest moment known");
}

// Those that DHCP names (RFC 2132 section 8.3); without any the router, which in an office often
// knows the time.
std::vector<Ipv4> time_servers(const DhcpLease& lease) {
  if (!lease.time_servers.empty() || !lease.router) return lease.time_servers;
  return {*lease.router};
}

int watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int listen_for_notes() {
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string_view(notify_path).copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chown(notify_path, relay_user, relay_user) != 0 || ::chmod(notify_path, 0600) != 0) {
    say_errno("the relay's notify socket", errno);
  }
  return fd;
}

class Supervisor {
 public:
  int run() {
    prepare_places();
    open_watchdog();
    signals_ = watch_signals();
    notes_ = listen_for_notes();
    feed_watchdog();
    const std::string data = find_partition("postern-data");
    data_open_ = !data.empty() && open_data(data, feed_);
    set_clock_floor();
    feed_watchdog();
    if (data_open_) {
      prepare_box();
    } else {
      const EfiPartition efi;
      if (efi.mounted()) look_at_slot(efi.place());
    }
    if (restart_wanted_) leave(RB_AUTOBOOT);
    started_ = healthy_since_ = Clock::now();
    configured_ = ::access("/data/config/postern.toml", F_OK) == 0;
    if (!configured_)
      say("no configuration yet: put postern.toml on the EFI partition; no port is open");
    for (;;) turn();
  }

 private:
  void open_watchdog() {
    if (const char* number = std::getenv("POSTERN_WATCHDOG"))
      watchdog_ = static_cast<int>(number_in(number));
  }

  void feed_watchdog() {
    if (watchdog_ >= 0 && ::write(watchdog_, "\n", 1) != 1) say_errno("the watchdog", errno);
  }

  void prepare_box() {
    notice_.box = open_box(feed_);
    say("this is box " + notice_.box.identity + "; its authority has the SHA-256 fingerprint " +
        notice_.box.fingerprint);
    notice_.update = std::string(trimmed(read_file(update_story_file).value_or("")));
    const EfiPartition efi;
    if (!efi.mounted()) return;
    settle_slots(efi.place());
    // What else is there belongs to the box that starts next.
    restart_wanted_ |=
        take_orders(efi.place(), {notice_.box, feed_, [] {}}) == OrderResult::restart;
    if (restart_wanted_) return;
    notice_.refused = take_drop(efi.place(), notice_.box, feed_) == DropResult::refused;
    // At the very first start, for a box that never gets an address.
    if (::access((efi.place() + "/POSTERN.TXT").c_str(), F_OK) != 0)
      write_notice(efi.place(), notice_);
  }

  void tell_of_update(const std::string& what) {
    say(what);
    notice_.update = what;
    if (!write_file(update_story_file, what + "\n")) say("that could not be kept");
  }

  void look_at_slot(const std::string& place) {
    slot_is_good_ =
        find_slot_image(directory_names(place + kernels_directory), running_slot()).state ==
        SlotState::good;
    say(std::string("slot ") + running_slot() + (slot_is_good_ ? " is good" : " is on trial"));
  }

  // What became of the last update, and the next one.
  void settle_slots(const std::string& place) {
    look_at_slot(place);
    if (const auto failed = take_failed_update(place)) tell_of_update(*failed);
    // The other slot is where a failing one leads back to: it stays as it is until then.
    if (!slot_is_good_) return;
    std::string told;
    const UpdateResult result = take_update(place, feed_, told);
    if (result == UpdateResult::nothing) return;
    tell_of_update(told);
    restart_wanted_ = result == UpdateResult::installed;
  }

  // An image on trial is good when what it is for works for a while; if not, the box goes back to
  // the other slot, where there is a good one.
  void look_after_trial() {
    if (slot_is_good_) return;
    const auto now = Clock::now();
    const bool works = data_open_ && (!configured_ || (ready_ && relay_ > 0));
    if (!works) healthy_since_ = now;
    const bool failed =
        !nowhere_to_go_ && (trial_ends_ >= trial_ends_max || now - started_ > trial_time_max);
    if (now - healthy_since_ < trial_health && !failed) return;
    healthy_since_ = now;  // what does not work out below is tried again after a while
    const EfiPartition efi;
    if (!efi.mounted()) return;
    if (!failed) {
      slot_is_good_ = mark_good(efi.place(), image_date());
      if (slot_is_good_)
        tell_of_update(std::string("slot ") + running_slot() + " passed its trial");
      return;
    }
    nowhere_to_go_ = !other_slot_is_good(efi.place());
    if (nowhere_to_go_) return;
    leave_reason(!data_open_         ? "the data partition could not be opened"
                 : last_end_.empty() ? "the relay was not ready in time"
                                     : last_end_);
    say("this slot fails its trial; the box restarts");
    restart_wanted_ = true;
  }

  void write_notice_file() {
    notice_.configured = configured_;
    if (configured_) notice_.dns_records = dns_records_of(configuration_directory, feed_);
    const EfiPartition efi;
    if (efi.mounted()) write_notice(efi.place(), notice_);
    say("POSTERN.TXT on the EFI partition says how to reach the box and what to do next");
  }

  void turn() {
    feed_watchdog();
    pollfd wanted[4] = {{signals_, POLLIN, 0},
                        {notes_, POLLIN, 0},
                        {dhcp_ ? dhcp_->descriptor() : -1, POLLIN, 0},
                        {time_.descriptor(), POLLIN, 0}};
    ::poll(wanted, 4, turn_milliseconds);
    take_signals();
    take_notes();
    look_after_network();
    look_after_relay();
    look_after_papers();
    look_after_trial();
    note_clock();
    if (restart_wanted_) leave(RB_AUTOBOOT);
  }

  void take_signals() {
    signalfd_siginfo signal{};
    while (::read(signals_, &signal, sizeof signal) == sizeof signal) {
      if (signal.ssi_signo != SIGCHLD) leave(RB_POWER_OFF);
    }
    int status = 0;
    while (const pid_t ended = ::waitpid(-1, &status, WNOHANG)) {
      if (ended < 0) break;
      if (ended == relay_) relay_ended(status);
    }
  }

  void take_notes() {
    char buffer[512];
    for (;;) {
      const ssize_t count = ::recv(notes_, buffer, sizeof buffer, 0);
      if (count <= 0) return;
      const std::string_view note(buffer, static_cast<std::size_t>(count));
      if (note.contains("WATCHDOG=1")) {
        relay_fed_ = true;
        last_fed_ = Clock::now();
      }
      if (note.contains("READY=1") && !ready_) {
        ready_ = true;
        const auto uptime = read_file("/proc/uptime").value_or("?");
        say("ready to accept mail " + std::string(uptime.substr(0, uptime.find(' '))) +
            " s after the kernel's start");
      }
    }
  }

  void look_after_network() {
    if (!dhcp_) {
      const std::string interface = find_interface();
      if (interface.empty()) return;
      dhcp_ = std::make_unique<DhcpClient>(interface);
    }
    dhcp_->step();
    time_.step();
    if (dhcp_->lease() && address_ != text_of(dhcp_->lease()->address)) {
      address_ = text_of(dhcp_->lease()->address);
      say("the address is " + address_);
      address_is_new_ = true;
    }
    if (dhcp_->lease()) time_.use(time_servers(*dhcp_->lease()));
  }

  // Once the box has an address and, where there is a relay, that is ready: nobody waits for this.
  void look_after_papers() {
    if (!data_open_ || address_.empty()) return;
    if (configured_ && !ready_ && !policy_.safe_mode()) return;
    const auto now = Clock::now();
    if (!address_is_new_ && now < next_renewal_) return;
    next_renewal_ = now + renewal_every;
    if (configured_ && renew_certificate(configuration_directory, address_, feed_)) {
      say("the certificate is new: it is for the address " + address_ + " too");
      if (relay_ > 0) ::kill(relay_, SIGHUP);
    }
    if (std::exchange(address_is_new_, false)) {
      notice_.address = address_;
      write_notice_file();
    }
  }

  void look_after_relay() {
    const auto now = Clock::now();
    if (relay_ > 0) {
      // Only a relay that fed the watchdog once is held to it.
      if (relay_fed_ && now - last_fed_ > silence_max) {
        say("the relay makes no progress; it is ended and started again");
        ::kill(relay_, SIGKILL);
        relay_fed_ = false;
      }
      return;
    }
    if (!configured_ || now < start_again_) return;
    ready_ = relay_fed_ = false;
    const std::string notify = std::string("NOTIFY_SOCKET=") + notify_path;
    relay_ = launch({{"/usr/sbin/posternd", "--config", "/data/config/postern.toml"},
                     {"PATH=/usr/sbin:/usr/bin", notify, "WATCHDOG_USEC=60000000"},
                     relay_user,
                     true,
                     -1});
    if (relay_ < 0) start_again_ = now + policy_.ended(now);
  }

  void relay_ended(int status) {
    relay_ = -1;
    const auto wait = policy_.ended(Clock::now());
    start_again_ = Clock::now() + wait;
    ++trial_ends_;
    last_end_ =
        "the relay ended " + (WIFEXITED(status) ? "with code " + std::to_string(WEXITSTATUS(status))
                                                : "by signal " + std::to_string(WTERMSIG(status)));
    say(last_end_ +
        (policy_.safe_mode() ? "; it ended too often: safe mode, no relay for "
                             : "; started again in ") +
        std::to_string(wait.count()) + " s");
  }

  void note_clock() {
    const auto now = Clock::now();
    if (!data_open_ || now < next_clock_note_) return;
    next_clock_note_ = now + clock_note_every;
    const std::string fresh = std::string(clock_file) + ".new";
    if (!write_file(fresh, std::to_string(::time(nullptr)) + "\n") ||
        ::rename(fresh.c_str(), clock_file) != 0)
      say_errno("the clock could not be noted", errno);
  }

  // The relay finishes, then the box goes off or starts again.
  void leave(int how) {
    const auto deadline = Clock::now() + stop_time_max;
    if (relay_ > 0) ::kill(relay_, SIGTERM);
    while (relay_ > 0 && Clock::now() < deadline) {
      feed_watchdog();
      if (::waitpid(relay_, nullptr, WNOHANG) == relay_) relay_ = -1;
      ::usleep(100'000);
    }
    ::sync();
    if (data_open_ && ::umount("/data") != 0) say_errno("the data partition", errno);
    ::reboot(how);
  }

  int watchdog_ = -1, signals_ = -1, notes_ = -1;
  bool data_open_ = false, configured_ = false, ready_ = false, relay_fed_ = false,
       address_is_new_ = false, slot_is_good_ = false, restart_wanted_ = false,
       nowhere_to_go_ = false;  // no other slot holds an image that was good
  int trial_ends_ = 0;
  std::string last_end_;  // of the relay
  Clock::time_point started_{}, healthy_since_{};
  pid_t relay_ = -1;
  RestartPolicy policy_;
  std::unique_ptr<DhcpClient> dhcp_;
  TimeClient time_{image_date()};
  const FeedWatchdog feed_ = [this] { feed_watchdog(); };
  std::string address_;
  Notice notice_;
  Clock::time_point start_again_{}, last_fed_{}, next_clock_note_{}, next_renewal_{};
};

}  // namespace
}  // namespace postern::firmware

int main() {
  postern::firmware::Supervisor supervisor;
  return supervisor.run();
}
