// Backing up and restoring; see the header.
#include "backup_commands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>
#include <vector>

#include "ownership.hpp"
#include "relay/backup/queue.hpp"
#include "relay/backup/restoration.hpp"
#include "relay/backup/sources.hpp"
#include "relay/base/clock.hpp"
#include "relay/base/file.hpp"
#include "relay/config/belongings.hpp"
#include "relay/config/check.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay_client.hpp"

namespace postern::tools {

namespace {

constexpr char stop_it_first[] =
    "Stop posternd (and the socket unit that starts it), then try again; nothing was changed.";

constexpr unsigned configuration_directory_mode = 0750;
constexpr unsigned private_directory_mode = 0700;

// While it lives, a signal that would end the command only makes pending() true; the command then
// cleans up, and the signal ends it when this dies.
class SignalsHeld {
 public:
  SignalsHeld() {
    ::sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set_, number);
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
  ~SignalsHeld() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  [[nodiscard]] bool pending() const {
    sigset_t waiting;
    if (::sigpending(&waiting) != 0) return false;
    return ::sigismember(&waiting, SIGINT) == 1 || ::sigismember(&waiting, SIGTERM) == 1 ||
           ::sigismember(&waiting, SIGHUP) == 1;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// A directory of the restore; taken away again unless it is kept.
class MadeDirectory {
 public:
  static Outcome<MadeDirectory> make(const std::string& path, unsigned mode) {
    if (path.empty() || ::mkdir(path.c_str(), mode) != 0) {
      if (path.empty() || errno == EEXIST) return MadeDirectory("", mode);
      return stop(fail_errno("make the directory " + path, errno).error());
    }
    return MadeDirectory(path, mode);
  }
  MadeDirectory(MadeDirectory&& other) noexcept
      : path_(std::exchange(other.path_, {})), mode_(other.mode_) {}
  MadeDirectory& operator=(MadeDirectory&&) = delete;
  ~MadeDirectory() {
    if (path_.empty()) return;
    ::unlink((path_ + "/lock").c_str());
    ::rmdir(path_.c_str());
  }
  // With its mode whatever the umask is, and where the relay's user is known handed to it.
  Outcome<void> keep(const std::optional<FileOwner>& owner) {
    const std::string path = std::exchange(path_, {});
    if (path.empty()) return {};
    const auto tree = backup::Tree::open(path);
    if (!tree) return stop(tree.error());
    const bool hand_over = owner && ::geteuid() == 0;
    if (auto given = tree->give("", mode_, hand_over ? &*owner : nullptr); !given)
      return stop(given.error());
    return {};
  }

 private:
  MadeDirectory(std::string path, unsigned mode) : path_(std::move(path)), mode_(mode) {}
  std::string path_;
  unsigned mode_;
};

std::string file_name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The queue as it is now: asked of the relay, or taken under the lock of one that does not run.
// Nothing: the relay was never started.
Outcome<std::unique_ptr<backup::QueueSnapshot>> take_snapshot(const std::string& configuration_path,
                                                              const std::string& state_directory) {
  const auto folder = ask_snapshot(configuration_path);
  if (!folder) return std::unexpected(folder.error());
  auto snapshot = *folder ? backup::QueueSnapshot::of_running(**folder)
                          : backup::QueueSnapshot::of_stopped(state_directory);
  if (snapshot) return std::move(*snapshot);
  if (!*folder && snapshot.error().kind == ErrorKind::not_found) return nullptr;
  return stop(snapshot.error());
}

std::vector<backup::NamedPath> named_paths(const config::Belongings& belongings) {
  std::vector<backup::NamedPath> named;
  for (const config::NamedFile& file : belongings.files) {
    named.push_back({file.path,
                     fmt::format("{}:{}: {}", file.place.text(), file.place.column, file.key),
                     file.key});
  }
  return named;
}

struct Trees {
  std::optional<backup::Tree> configuration, state, authority;
};

Outcome<void> open_tree(const std::string& path, std::optional<backup::Tree>& into) {
  auto tree = backup::Tree::open(path);
  if (!tree) return stop(tree.error());
  into.emplace(std::move(*tree));
  return {};
}

// What the backup holds beside the queue; the trees must outlive the sources.
Outcome<void> collect_files(const std::string& main_path, const BackupOrder& order,
                            const config::Belongings& belongings, Trees& trees,
                            backup::Sources& sources) {
  const std::string directory = config::directory_of(main_path);
  if (auto opened = open_tree(directory, trees.configuration); !opened) return opened;
  if (auto added = sources.add_configuration(*trees.configuration, directory,
                                             file_name_of(main_path), named_paths(belongings));
      !added) {
    return stop(added.error());
  }
  if (order.authority) {
    if (auto opened = open_tree(*order.authority, trees.authority); !opened) return opened;
    if (auto added = sources.add_authority(*trees.authority); !added) return stop(added.error());
  }
  sources.add_about(fmt::format("{}, made {} by postern {}", belongings.hostname,
                                format_timestamp(read_clocks().wall), POSTERN_VERSION));
  return {};
}

Outcome<void> collect_queue(const config::Belongings& belongings,
                            const backup::QueueSnapshot* snapshot, Trees& trees,
                            backup::Sources& sources) {
  if (snapshot == nullptr) return {};
  if (auto opened = open_tree(belongings.state_directory, trees.state); !opened) return opened;
  if (auto added = sources.add_queue_key(*trees.state); !added) return stop(added.error());
  if (snapshot->tree() == nullptr) return {};
  if (auto added = sources.add_queue(*snapshot->tree()); !added) return stop(added.error());
  return {};
}

void tell_backup(const BackupOrder& order, const backup::BackupFacts& facts,
                 const backup::QueueSnapshot* snapshot, const Secret& passphrase, Report& report) {
  const std::uint64_t messages = snapshot == nullptr ? 0 : snapshot->messages();
  report.text = fmt::format(
      "Backup written: {}, {}, {} in the queue.\nIt was read back, opened and every part of it "
      "compared: it is good.\n",
      order.file, human_bytes(facts.bytes), counted(messages, "message"));
  report.json["file"] = order.file;
  report.json["bytes"] = facts.bytes;
  report.json["files"] = facts.files;
  report.json["messages"] = messages;
  report.json["verified"] = true;
  if (order.passphrase.make) {
    report.text += fmt::format(
        "\nPassphrase    {}\n\nIt is shown only now and stored nowhere; without it the backup "
        "cannot be opened.\n",
        passphrase.text());
    report.json["passphrase"] = std::string(passphrase.text());
  }
  if (snapshot != nullptr && !snapshot->log_damage().empty())
    report.warning = "the queue was damaged before: " + snapshot->log_damage();
}

// --- Restoring

std::string time_for_names() {
  std::string time = format_timestamp(read_clocks().wall).substr(0, 19);  // 2026-11-28T02:46:00
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return time;
}

Outcome<void> require_room(const std::string& directory, std::uint64_t bytes) {
  struct statvfs facts{};
  if (::statvfs(directory.c_str(), &facts) != 0)
    return stop(fail_errno("measure the free room of " + directory, errno).error());
  const std::uint64_t free = std::uint64_t{facts.f_bavail} * facts.f_frsize;
  if (free >= bytes) return {};
  return stop(fmt::format("the backup holds {} and {} are free in {}", human_bytes(bytes),
                          human_bytes(free), directory),
              "Make room there, then try again; nothing was changed.");
}

struct Restored {
  backup::Survey survey;
  config::Belongings belongings;
  storage::PreparedQueue queue;
  std::string moved_to;               // empty: nothing was in the way
  std::vector<std::string> put_away;  // old queues with mail, which nobody delivers now
};

// What waits in a queue that will not be used any more: told, so that nobody learns it too late.
void note_put_away(const std::string& state_directory, const std::string& where,
                   Restored& restored) {
  const auto messages = backup::count_messages(state_directory);
  if (messages && messages->value_or(0) == 0) return;
  restored.put_away.push_back(
      fmt::format("The queue that was there is in {} with {}, and nobody delivers it now.", where,
                  messages ? counted(**messages, "message") : "mail that could not be counted"));
}

// The configuration that is replaced may have had its queue elsewhere.
void note_old_queues(const std::string& main_path, Restored& restored) {
  const std::string& state_directory = restored.belongings.state_directory;
  note_put_away(state_directory, state_directory + '/' + restored.moved_to, restored);
  const auto text = read_file(main_path, config::configuration_bytes_max);
  if (!text) return;
  const auto old = config::read_belongings(*text, main_path);
  if (old && old->state_directory != state_directory)
    note_put_away(old->state_directory, old->state_directory, restored);
}

Outcome<void> refuse_running(const std::string& configuration_path) {
  if (::access(configuration_path.c_str(), F_OK) != 0) return {};
  const auto outcome = ask_relay(configuration_path, {control::Verb::status, std::nullopt, false});
  if (!outcome) return {};  // not there, or nobody's business: the lock decides
  return stop("the relay runs", stop_it_first);
}

// The first pass: the whole file, and what in it says where everything goes.
Outcome<void> survey_backup(const std::string& main_path, const BackupOrder& order,
                            const Secret& passphrase, Restored& restored) {
  if (const auto read = backup::read_backup(order.file, passphrase, restored.survey); !read)
    return stop(read.error());
  if (const auto good = restored.survey.check(); !good) return stop(good.error());
  auto belongings = config::read_belongings(*restored.survey.main_text(), main_path);
  if (!belongings) return stop(belongings.error());
  restored.belongings = std::move(*belongings);
  if (restored.survey.has_authority() && !order.authority) {
    return stop("this backup holds an authority of its own",
                "Say with --authority DIRECTORY where it belongs.");
  }
  return {};
}

Outcome<void> unpack(const std::string& main_path, const BackupOrder& order,
                     const Secret& passphrase, const std::optional<FileOwner>& relay,
                     Restored& restored) {
  const backup::Destination to{config::directory_of(main_path), file_name_of(main_path),
                               restored.belongings.state_directory,
                               restored.survey.has_authority() ? *order.authority : "", relay};
  auto restoration = backup::Restoration::begin(to);
  if (!restoration) return stop(restoration.error());
  if (auto room = require_room(to.state_directory, restored.survey.bytes()); !room) return room;
  if (const auto read = backup::read_backup(order.file, passphrase, **restoration); !read)
    return stop(read.error());
  const auto old = (*restoration)->in_the_way();
  if (!old) return stop(old.error());
  if (!old->empty() && !order.replace) {
    return stop(fmt::format("this is no new machine; there is already {}", old->front()),
                "With --replace what is there moves away first, into a folder beside it; nothing "
                "was changed.");
  }
  const auto queue = (*restoration)->complete(order.hold);
  if (!queue) return stop(queue.error());
  restored.queue = *queue;
  const std::string time = (*restoration)->unused_time(time_for_names());
  if (!old->empty()) {
    restored.moved_to = "replaced-" + time;
    note_old_queues(main_path, restored);
  }
  if (auto placed = (*restoration)->put_in_place(time); !placed) {
    return std::unexpected(
        Failure{placed.error().text(),
                "What was there may have moved into replaced-" + time +
                    " already. Mend that, then run the command again with --replace: the relay "
                    "cannot start before the configuration is in its place.",
                exit_half});
  }
  return {};
}

void tell_restored(const std::string& main_path, const BackupOrder& order, const Restored& restored,
                   Report& report) {
  report.text =
      fmt::format("Restored from {}: {}\n  Configuration  {}\n  Queue          {} in {}\n",
                  order.file, printable(restored.survey.about()), main_path,
                  counted(restored.queue.messages, "message"), restored.belongings.state_directory);
  report.json["about"] = restored.survey.about();
  report.json["configuration"] = main_path;
  report.json["state_directory"] = restored.belongings.state_directory;
  report.json["messages"] = restored.queue.messages;
  report.json["damaged"] = restored.queue.damaged;
  report.json["held"] = order.hold;
  report.json["moved_to"] = restored.moved_to;
  if (!restored.moved_to.empty()) {
    report.text += fmt::format("What was there before is in {} in each of these directories.\n",
                               restored.moved_to);
  }
  report.json["put_away"] = restored.put_away;
  for (const std::string& told : restored.put_away) report.text += told + '\n';
  if (restored.queue.messages == 0) return;
  report.text +=
      "\nMail of this queue that was delivered after the backup was made goes out a\n"
      "second time: a duplicate is accepted, a loss is not. ";
  report.text += order.hold ? "All of it is held: look with\n`postern queue list`, then `postern "
                              "queue release` or `remove` it.\n"
                            : "It goes out when the relay starts.\n";
}

// What the relay will say to these files, told now.
void tell_check(const std::string& main_path, Report& report) {
  const config::LoadResult loaded = config::check_configuration(main_path);
  report.json["valid"] = loaded.configuration != nullptr;
  if (loaded.configuration) return;
  report.exit_code = exit_unusable;
  report.warning = "the files are in their places, but the relay would not start with them:";
  for (const config::Problem& problem : loaded.problems) report.warning += '\n' + problem.text();
  report.warning += "\nMend these, then `postern check`.";
}

}  // namespace

Outcome<> make_backup(const std::string& configuration_path, const BackupOrder& order) {
  const std::string main_path = config::absolute_path(configuration_path);
  const auto text = read_file(main_path, config::configuration_bytes_max);
  if (!text) return stop(text.error());
  const auto belongings = config::read_belongings(*text, main_path);
  if (!belongings) return stop(belongings.error());
  struct stat facts{};
  if (::lstat(order.file.c_str(), &facts) == 0)
    return stop(order.file + " is there already", "Name another file, or take it away.");
  Trees trees;
  backup::Sources sources(relay_owner(configuration_path));
  if (auto done = collect_files(main_path, order, *belongings, trees, sources); !done)
    return std::unexpected(done.error());
  const auto passphrase = read_passphrase(order.passphrase, true);
  if (!passphrase) return std::unexpected(passphrase.error());
  auto snapshot = take_snapshot(configuration_path, belongings->state_directory);
  if (!snapshot) return std::unexpected(snapshot.error());
  Report report;
  {
    const SignalsHeld signals;
    // In here, so that it is gone before a signal ends the command.
    const std::unique_ptr<backup::QueueSnapshot> held = std::move(*snapshot);
    if (auto done = collect_queue(*belongings, held.get(), trees, sources); !done)
      return std::unexpected(done.error());
    const auto written = backup::write_backup(order.file, sources.take(), *passphrase,
                                              [&signals] { return signals.pending(); });
    if (!written) return stop(written.error());
    tell_backup(order, *written, held.get(), *passphrase, report);
  }
  return report;
}

Outcome<> restore_backup(const std::string& configuration_path, const BackupOrder& order) {
  const std::string main_path = config::absolute_path(configuration_path);
  const auto passphrase = read_passphrase(order.passphrase, false);
  if (!passphrase) return std::unexpected(passphrase.error());
  Restored restored;
  if (auto read = survey_backup(main_path, order, *passphrase, restored); !read)
    return std::unexpected(read.error());
  if (auto stopped = refuse_running(configuration_path); !stopped)
    return std::unexpected(stopped.error());
  auto relay = relay_owner_of(restored.belongings.state_directory, main_path);
  auto configuration =
      MadeDirectory::make(config::directory_of(main_path), configuration_directory_mode);
  auto state = MadeDirectory::make(restored.belongings.state_directory, private_directory_mode);
  auto authority = MadeDirectory::make(order.authority.value_or(""), private_directory_mode);
  for (const auto* made : {&configuration, &state, &authority}) {
    if (!*made) return std::unexpected(made->error());
  }
  {
    const SignalsHeld signals;
    const auto lock = backup::lock_state(restored.belongings.state_directory);
    if (!lock) {
      return stop(lock.error().text(), stop_it_first);
    }
    if (auto done = unpack(main_path, order, *passphrase, relay, restored); !done)
      return std::unexpected(done.error());
    const auto half = [](Failure failure) {
      failure.exit_code = exit_half;
      return std::unexpected(std::move(failure));
    };
    const auto group = relay ? std::optional(FileOwner{::geteuid(), relay->group}) : std::nullopt;
    if (auto kept = configuration->keep(group); !kept) return half(kept.error());
    if (auto kept = state->keep(relay); !kept) return half(kept.error());
    if (auto kept = authority->keep(std::nullopt); !kept) return half(kept.error());
  }
  Report report;
  tell_restored(main_path, order, restored, report);
  tell_check(main_path, report);
  tell_ownership(relay, restored.belongings.state_directory, report);
  return report;
}

}  // namespace postern::tools
