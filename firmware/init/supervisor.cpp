// The supervisor: the only process that lives as long as the box runs.
//
// Promise: feeds the watchdog as long as its own loop turns; opens the data partition, takes what
// lies on the EFI partition or on a USB stick, gets an address, and keeps the relay running with
// growing waits. Without a valid configuration no relay runs, so no port is open. Sharp edge: as
// process 1 it must never end.
#include <linux/watchdog.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "firmware/init/box.hpp"
#include "firmware/init/box_story.hpp"
#include "firmware/init/clock_keeper.hpp"
#include "firmware/init/health.hpp"
#include "firmware/init/network.hpp"
#include "firmware/init/orders.hpp"
#include "firmware/init/relay.hpp"
#include "firmware/init/slots.hpp"
#include "firmware/init/sticks.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"
#include "firmware/init/time_client.hpp"
#include "firmware/init/trial_policy.hpp"

namespace postern::firmware {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int turn_milliseconds = 1000;
constexpr useconds_t last_words_microseconds = 500'000;  // until a serial console has them all
constexpr std::chrono::hours renewal_every{24}, renewal_again_after{1};
constexpr std::chrono::seconds sticks_every{2};
// A stick found later was plugged in by somebody; one found earlier was perhaps left there.
constexpr std::chrono::seconds left_there_until{60};
constexpr std::chrono::seconds address_wait_max{60};   // then POSTERN.TXT goes out without one
constexpr std::chrono::minutes trial_again_after{10};  // where the EFI partition does not take it
// At least between two starts that a medium which failed asks for.
constexpr std::chrono::hours medium_patience{1};
constexpr int address_changes_max = 12;  // an hour: a DHCP server decides of them, and each is kept
constexpr char update_story_file[] = "/data/box/update";

void prepare_places() {
  ::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=8m");
  ::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=16m");
  ::mkdir("/run/postern", 0755);
  if (::chown("/run/postern", relay_user, relay_user) != 0) say_errno("/run/postern", errno);
  bring_up("lo");
}

int watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

class Supervisor {
 public:
  int run() {
    prepare_places();
    open_watchdog();
    signals_ = watch_signals();
    relay_.listen();
    feed_watchdog();
    const std::string data = find_partition("postern-data", own_disk_);
    data_open_ = !data.empty() && open_data(data, feed_);
    set_clock_floor();
    feed_watchdog();
    prepare_box();
    if (restart_wanted_) leave(RB_AUTOBOOT);
    started_ = Clock::now();
    trial_.begin_again(started_, 0);
    configured_ = ::access("/data/config/postern.toml", F_OK) == 0;
    if (configured_) {
      network_.use(fixed_settings(false, feed_));
    } else if (data_open_) {
      say("no configuration yet: put postern.toml on the EFI partition or a USB stick; no port is "
          "open");
    }
    for (;;) turn();
  }

 private:
  void open_watchdog() {
    const std::string number =
        std::getenv("POSTERN_WATCHDOG") ? std::getenv("POSTERN_WATCHDOG") : "";
    std::from_chars(number.data(), number.data() + number.size(), watchdog_);
  }

  void feed_watchdog() {
    if (watchdog_ >= 0 && ::write(watchdog_, "\n", 1) != 1) say_errno("the watchdog", errno);
  }

  // Not every watchdog can tell.
  [[nodiscard]] bool watchdog_reset() const {
    int facts = 0;
    return watchdog_ >= 0 && ::ioctl(watchdog_, WDIOC_GETBOOTSTATUS, &facts) == 0 &&
           (facts & WDIOF_CARDRESET) != 0;
  }

  void prepare_box() {
    if (data_open_) {
      take_directories();
      notice_.box = open_box(feed_);
      say("this is box " + notice_.box.identity + "; its authority has the SHA-256 fingerprint " +
          notice_.box.fingerprint);
      notice_.update = std::string(trimmed(read_file(update_story_file).value_or("")));
    }
    const EfiPartition efi;
    if (!efi.mounted()) return;
    settle_slots(efi.place());
    look_at_slot(efi.place());
    if (!data_open_) return tell_of_lost_data(efi.place());
    if (slot_is_good_) raise_floor(image_date());
    if (const auto failed = take_failed_update(efi.place(), watchdog_reset()))
      tell_of_update(*failed);
    const Place place{efi.place(), "the EFI partition"};
    look_through(place);
    if (restart_wanted_) return;
    // At the very first start, for a box that never gets an address.
    if (::access((efi.place() + "/POSTERN.TXT").c_str(), F_OK) != 0) write_notice(place, notice_);
  }

  void tell_of_lost_data(const std::string& place) {
    notice_.trouble =
        "no mail is taken, because the data partition cannot be opened; the console\n"
        "says why. Nothing left for the box is looked at. Start it once more. If it stays so:\n"
        "1. Copy *.backup from this partition elsewhere.\n"
        "2. Flash the medium anew, and start it once.\n"
        "3. Put the backup and POSTERN-RESTORE.TXT here, and start it again.\n"
        "Mail that is in no backup is lost then; e2fsck on the partition postern-data, on\n"
        "another Linux machine, may save it before.";
    write_notice({place, "the EFI partition"}, notice_);
  }

  // What a person left for the box on a mounted place; updates wait for look_after_updates().
  void look_through(const Place& place) {
    const Orders orders{notice_.box, feed_, [this] { relay_.stop(feed_); }};
    // Not from a stick: who plugs one in for a moment must not carry away all keys.
    if (!place.stick && take_orders(place.path, orders) == OrderResult::restart) {
      forget_fixed_settings();  // a restored configuration brings its own
      restart_wanted_ = true;   // what else is there belongs to the box that starts next
      return;
    }
    const DropResult drop = take_drop(place, notice_.box, feed_);
    if (drop != DropResult::nothing) notice_.refused = drop == DropResult::refused;
    if (drop == DropResult::taken) {
      configured_ = true;
      address_is_new_ = true;  // the certificate shall name it
      relay_.restart();
      network_.use(fixed_settings(true, feed_));
    }
    update_wanted_ = tell_wanted_ = true;
  }

  [[nodiscard]] Place place_of(const MountedStick& mounted, const Stick& stick) const {
    return {mounted.place(), "the USB stick", true, plugged_in_.contains(stick.sequence)};
  }

  void look_after_sticks() {
    const auto now = Clock::now();
    if (!data_open_ || now < next_stick_look_) return;
    next_stick_look_ = now + sticks_every;
    const std::vector<Stick> fresh_sticks = sticks_.fresh(list_sticks(own_disk_));
    std::erase_if(plugged_in_, [this](const std::string& sequence) {
      return std::ranges::find(sticks_.known(), sequence, &Stick::sequence) ==
             sticks_.known().end();
    });
    for (const Stick& fresh : fresh_sticks) {
      const MountedStick stick(fresh);
      say("there is a USB stick, " + fresh.disk +
          (stick.mounted() ? "" : "; nothing is done with it, because " + stick.problem()));
      if (!stick.mounted()) continue;
      if (now - started_ > left_there_until) plugged_in_.insert(fresh.sequence);
      look_through(place_of(stick, fresh));
      if (restart_wanted_) return;
    }
  }

  // Does something on the EFI partition and on every stick until it says that it is enough.
  template <class Act>
  void at_every_place(Act act) {
    const EfiPartition efi;  // stays mounted meanwhile: an update from a stick goes there
    if (efi.mounted() && act(Place{efi.place(), "the EFI partition"})) return;
    for (const Stick& known : sticks_.known()) {
      const MountedStick stick(known);
      if (stick.mounted() && act(place_of(stick, known))) return;
    }
  }

  [[nodiscard]] bool settled() const { return !configured_ || relay_.settled(); }

  // The other slot is where a failing one leads back to: it stays as it is until this one is good.
  // What is wrong with an upstream already is noted before, so the relay must have had its time.
  void look_after_updates() {
    if (!update_wanted_ || !slot_is_good_ || !data_open_ || !settled()) return;
    update_wanted_ = false;
    at_every_place([this](const Place& place) {
      if (::access((place.path + "/" + update_file).c_str(), F_OK) != 0) return false;
      note_known_faults(configured_ && relay_.ready(), feed_);
      std::string told;
      const UpdateResult result = take_update(place, feed_, told);
      if (result == UpdateResult::nothing) return false;
      tell_of_update(told);
      restart_wanted_ = result == UpdateResult::installed;
      return restart_wanted_;
    });
    if (restart_wanted_) tell();
  }

  void tell_of_update(const std::string& what) {
    say(what);
    notice_.update = what;
    tell_wanted_ = true;
    if (!write_file(update_story_file, what + "\n")) say("that could not be kept");
    write_story();
  }

  void write_story() const {
    const BoxStory story{std::string(1, running_slot()), slot_is_good_ ? "good" : "on trial",
                         notice_.update};
    if (!write_file(box_story_file, box_story_text(story)))
      say_errno(std::string("the story in ") + box_story_file, errno);
  }

  void look_at_slot(const std::string& place) {
    slot_is_good_ = slot_image(place, running_slot()).state == SlotState::good;
    somewhere_to_go_ = other_slot_is_good(place);
    say(std::string("slot ") + running_slot() + (slot_is_good_ ? " is good" : " is on trial"));
    if (make_try_the_last(place, running_slot()))
      say("the boot loader counts no tries, so this one is the last");
    write_story();
  }

  // An image on trial is good when what it is for works for a while and is healthy; if not, the box
  // goes back to the other slot, where there is a good one. Where there is none, what is wrong is
  // said, and the slot is kept: no other could do better.
  void look_after_trial() {
    if (slot_is_good_) return;
    const auto now = Clock::now();
    const bool works = data_open_ && (!configured_ || relay_.ready());
    switch (trial_.step(now, works, relay_.ends())) {
      case TrialPolicy::Step::wait:
        return;
      case TrialPolicy::Step::fail:
        return fail_trial();
      case TrialPolicy::Step::check:
        break;
    }
    const Health health = configured_ ? check_health(feed_) : Health{true, {}};
    unhealthy_ = health.reason;
    if (health.good || !somewhere_to_go_) return pass_trial();
    say("not healthy: " + health.reason);
    trial_.check_failed(Clock::now());
  }

  void pass_trial() {
    // What does not work out below is tried again after a while.
    trial_.begin_again(Clock::now() + trial_again_after, relay_.ends());
    const EfiPartition efi;
    if (!efi.mounted()) return;
    slot_is_good_ = mark_good(efi.place(), image_date());
    if (!slot_is_good_) return;
    const std::string slot = std::string("slot ") + running_slot();
    const std::string what =
        unhealthy_.empty()
            ? slot + " passed its trial"
            : slot + " is kept, although not healthy: " + unhealthy_ + "; there is no other";
    if (somewhere_to_go_ || !unhealthy_.empty()) return tell_of_update(what);
    say(what);
    write_story();
  }

  void fail_trial() {
    trial_.begin_again(Clock::now(), relay_.ends());
    const EfiPartition efi;
    if (!efi.mounted()) return;
    somewhere_to_go_ = other_slot_is_good(efi.place());
    if (!somewhere_to_go_) return;
    if (!data_open_) {
      leave_early_reason(efi.place(), "the data partition could not be opened");
    } else {
      leave_reason(!unhealthy_.empty()         ? "not healthy: " + unhealthy_
                   : relay_.last_end().empty() ? "the relay was not ready in time"
                                               : relay_.last_end());
    }
    say("this slot fails its trial; the box restarts");
    restart_wanted_ = true;
  }

  void look_after_trouble() {
    std::string trouble;
    if (relay_.safe_mode() && !relay_.ready()) {
      trouble = "no mail is taken, because the relay ended again and again; at last\n" +
                relay_.last_end() +
                ". It is tried again every half hour, and at once with a\nnew configuration.";
    } else if (relay_.never_ready()) {
      trouble =
          "no mail is taken, because the relay does not become ready. It is tried again,\n"
          "each time with more time, and at once with a new configuration.";
    } else if (clock_note_.medium_failed()) {
      trouble =
          "the data partition cannot be written. The box starts again and has its file system\n"
          "checked; where that does not help the medium is worn out.";
    } else if (!papers_trouble_.empty()) {
      trouble = "the box's own certificate could not be renewed:\n" + papers_trouble_;
    } else if (relay_.ended_often()) {
      trouble = "the relay ended five times within a day; at last\n" + relay_.last_end() +
                ". Mail is taken while it runs.";
    }
    if (trouble == notice_.trouble) return;
    notice_.trouble = trouble;
    tell_wanted_ = true;
  }

  void look_after_telling() {
    if (!tell_wanted_ || !data_open_ || !settled()) return;
    if (address_.empty() && Clock::now() - started_ < address_wait_max) return;
    tell();
  }

  void tell() {
    tell_wanted_ = false;
    notice_.configured = configured_;
    notice_.address = address_;
    if (configured_) notice_.dns_records = dns_records_of(configuration_directory, feed_);
    at_every_place([this](const Place& place) {
      write_notice(place, notice_);
      if (place.stick) write_status(place, feed_);
      say("POSTERN.TXT on " + place.name + " says how to reach the box and what to do next");
      return false;
    });
  }

  void turn() {
    feed_watchdog();
    pollfd wanted[4] = {{signals_, POLLIN, 0},
                        {relay_.notes(), POLLIN, 0},
                        {network_.descriptor(), POLLIN, 0},
                        {time_.descriptor(), POLLIN, 0}};
    ::poll(wanted, 4, turn_milliseconds);
    take_signals();
    relay_.take_notes();
    look_after_network();
    if (configured_) relay_.look_after();
    if (data_open_) look_after_trouble();
    look_after_sticks();
    if (restart_wanted_) leave(RB_AUTOBOOT);  // by an order: nothing is to be written any more
    look_after_papers();
    look_after_telling();
    look_after_trial();
    look_after_updates();
    look_after_medium();
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
      relay_.child_ended(ended, status);
    }
  }

  void look_after_network() {
    network_.step();
    time_.step();
    const auto& settings = network_.settings();
    const std::string address = settings ? text_of(settings->address) : "";
    if (address_ != address && address_may_change()) {
      address_ = address;
      say(address.empty() ? "there is no address any more" : "the address is " + address);
      address_is_new_ = tell_wanted_ = true;
      relay_.hurry();  // a listener's address may be there now
    }
    if (time_.take_jump()) address_is_new_ = true;  // certificates have dates
    time_.use(settings ? time_servers(*settings) : std::vector<Ipv4>{});
  }

  [[nodiscard]] bool address_may_change() {
    const auto now = Clock::now();
    if (now - address_hour_ > std::chrono::hours(1)) {
      address_hour_ = now;
      address_changes_ = 0;
    }
    return address_changes_++ < address_changes_max;
  }

  // Once the relay is ready: nobody waits for this.
  void look_after_papers() {
    if (!data_open_ || !configured_ || !settled()) return;
    const auto now = Clock::now();
    if (address_.empty() && now - started_ < address_wait_max) return;
    if (!address_is_new_ && now < next_renewal_) return;
    next_renewal_ = now + renewal_every;
    address_is_new_ = false;
    const Renewal renewal = renew_certificate(configuration_directory, address_, feed_);
    papers_trouble_ = renewal.problem;
    if (!renewal.problem.empty()) {
      next_renewal_ = now + renewal_again_after;
      return;
    }
    if (notice_.box.fingerprint != renewal.fingerprint) {
      notice_.box.fingerprint = renewal.fingerprint;
      tell_wanted_ = true;
      say(authority_is_new);
    }
    if (!renewal.written) return;
    say("the certificate is new" +
        (address_.empty() ? "" : ": it is for the address " + address_ + " too"));
    relay_.reload();
  }

  // A medium that failed once may work again; what a start cannot mend it tells.
  void look_after_medium() {
    if (data_open_) clock_note_.write_now_and_then();
    if ((data_open_ && !clock_note_.medium_failed()) || Clock::now() - started_ < medium_patience)
      return;
    say(std::string("the data partition cannot be ") + (data_open_ ? "written" : "opened") +
        "; the box starts again to have it checked");
    restart_wanted_ = true;
  }

  // The relay finishes, then the box goes off or starts again.
  void leave(int how) {
    relay_.stop(feed_);
    ::sync();
    if (data_open_ && ::umount("/data") != 0) say_errno("the data partition", errno);
    ::usleep(last_words_microseconds);
    ::reboot(how);
  }

  int watchdog_ = -1, signals_ = -1;
  bool data_open_ = false, configured_ = false, address_is_new_ = false, slot_is_good_ = false,
       restart_wanted_ = false, tell_wanted_ = false, update_wanted_ = false,
       somewhere_to_go_ = false;  // the other slot holds an image that was good
  const std::string own_disk_ = own_disk();
  std::string unhealthy_, address_, papers_trouble_;
  Clock::time_point address_hour_{};
  int address_changes_ = 0;
  Clock::time_point started_ = Clock::now(), next_renewal_{}, next_stick_look_{};
  Relay relay_;
  TrialPolicy trial_{started_};
  StickWatch sticks_;
  std::set<std::string> plugged_in_;  // the sequences of sticks that came while the box ran
  ClockNote clock_note_;
  Network network_;
  TimeClient time_{image_date()};
  // While something takes its time. The relay's notes go on being read: ten unread ones, and its
  // next would wait for us with its whole main loop.
  const FeedWatchdog feed_ = [this] {
    feed_watchdog();
    relay_.take_notes();
  };
  Notice notice_;
};

}  // namespace
}  // namespace postern::firmware

int main() {
  postern::firmware::Supervisor supervisor;
  return supervisor.run();
}
