// Erasing a relay; see the header.
#include "erase_commands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <utility>
#include <vector>

#include "crypto/own_authority.hpp"
#include "relay/backup/queue.hpp"
#include "relay/backup/restoration.hpp"
#include "relay/backup/tree.hpp"
#include "relay/base/file.hpp"
#include "relay/base/text.hpp"
#include "relay/config/belongings.hpp"
#include "relay/config/file_source.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/user_file.hpp"
#include "relay_client.hpp"

namespace postern::tools {

namespace {

constexpr char stop_it_first[] =
    "Stop posternd (and the socket unit that starts it), then try again; nothing was erased.";

struct Authority {
  std::string file;
  std::string fingerprint;
};

// All that others keep because of this relay.
struct Revocations {
  config::Belongings belongings;
  std::vector<std::string> users;
  std::vector<std::string> unread;  // files of users that tell no names
  std::optional<Authority> authority;
};

std::optional<Authority> find_authority(const std::string& directory) {
  const std::string file = directory + "/authority.crt";
  const auto pem = read_file(file, config::certificate_bytes_max);
  if (!pem) return std::nullopt;
  const auto fingerprint = crypto::certificate_fingerprint(*pem);
  return Authority{file, fingerprint ? *fingerprint : "(the file is damaged)"};
}

Outcome<Revocations> find_revocations(const std::string& main_path, const EraseOrder& order) {
  const auto text = read_file(main_path, config::configuration_bytes_max);
  if (!text) return stop(text.error());
  auto belongings = config::read_belongings(*text, main_path);
  if (!belongings) return stop(belongings.error());
  Revocations found{std::move(*belongings), {}, {}, {}};
  if (const auto listing = config::list_users(main_path)) {
    for (const config::ListedUser& user : listing->users) found.users.push_back(user.settings.name);
    for (const config::Problem& problem : listing->problems) found.unread.push_back(problem.text());
  } else {
    found.unread.push_back(listing.error().text());
  }
  found.authority =
      find_authority(order.authority.value_or(config::directory_of(main_path) + "/tls"));
  return found;
}

void tell_revocations(const Revocations& found, Report& report) {
  report.text += "\nTo be done elsewhere; nobody can do it from here:\n";
  report.json["dns_records"] = Json::array();
  for (const auto& name : found.belongings.signing_names) {
    const std::string record = fmt::format("{}._domainkey.{}", name.selector, name.domain);
    report.text += fmt::format("  - DNS: take away the TXT record {}\n", printable(record));
    report.json["dns_records"].push_back(record);
  }
  report.json["upstream_logins"] = Json::array();
  for (const auto& login : found.belongings.logins) {
    report.text += fmt::format("  - at {}: give user {} a new password, or end it\n",
                               printable(login.host), printable(login.user_name));
    Json item;
    item["host"] = login.host;
    item["username"] = login.user_name;
    report.json["upstream_logins"].push_back(std::move(item));
  }
  if (found.authority) {
    report.text += fmt::format(
        "  - at every device: remove the authority with the SHA-256 fingerprint\n    {}\n",
        found.authority->fingerprint);
    report.json["authority_fingerprint"] = found.authority->fingerprint;
  } else {
    report.text += fmt::format("  - at who issued the certificate for {}: revoke it\n",
                               printable(found.belongings.hostname));
  }
  report.json["users"] = Json::array();
  for (const std::string& user : found.users) {
    report.text += fmt::format(
        "  - at the device of user {}: take its password out, also where it is used elsewhere\n",
        printable(user));
    report.json["users"].push_back(user);
  }
  report.json["users_unread"] = found.unread;
  for (const std::string& problem : found.unread) {
    report.text +=
        fmt::format("  - at devices of users that could not be read: {}\n", printable(problem));
  }
  report.text += "  - backups: destroy them, each holds all keys, passwords and users\n";
}

// To the end of the command: whoever broke it off would also lose the list of what to revoke.
void hold_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

// Keys before all else: without them what is left of the mail is noise.
struct Doomed {
  const backup::Tree* tree;
  std::vector<std::string> names;
};

std::vector<std::string> beneath(const std::string& directory, const config::Belongings& belongings,
                                 std::vector<std::string>& left) {
  std::vector<std::string> names;
  for (const config::NamedFile& file : belongings.files) {
    if (file.path.starts_with(directory + '/')) {
      names.push_back(file.path.substr(directory.size() + 1));
    } else if (file.key != "ca_file") {
      left.push_back(file.path);
    }
  }
  return names;
}

std::vector<std::string> names_in(const backup::Tree& tree, backup::Shredded& told) {
  auto names = tree.names("");
  if (names) return std::move(*names);
  told.failed.push_back(names.error().text());
  return {};
}

// What restores left.
bool is_replaced(const std::string& name) {
  return name == ".restore" || name.starts_with("replaced-");
}

// Without the main file, which goes last of all.
std::vector<std::string> doomed_configuration(const backup::Tree& tree, backup::Shredded& told) {
  std::vector<std::string> names(backup::configuration_folders.begin(),
                                 backup::configuration_folders.end());
  for (std::string& name : names_in(tree, told)) {
    if (is_replaced(name)) names.push_back(std::move(name));
  }
  return names;
}

// Only what is storage's: a configuration may name a directory of others by mistake.
std::vector<std::string> doomed_state(const backup::Tree& tree, backup::Shredded& told,
                                      std::vector<std::string>& left) {
  std::vector<std::string> names = {"queue.key"};
  std::vector<std::string> others;
  for (const std::string& name : names_in(tree, told)) {
    if (is_replaced(name)) names.push_back(name + "/queue.key");
    if (is_replaced(name) || backup::is_queue_file(name)) {
      others.push_back(name);
    } else if (name != "lock" && name != "reserve") {
      left.push_back(tree.path_of(name));
    }
  }
  names.insert(names.end(), others.begin(), others.end());
  return names;
}

void shred_all(const Doomed& doomed, backup::Shredded& told) {
  for (const std::string& name : doomed.names) backup::shred(*doomed.tree, name, told);
  if (const auto synced = doomed.tree->sync(); !synced)
    told.failed.push_back(synced.error().text());
}

struct Places {
  std::optional<backup::Tree> configuration, state, authority;
  FileDescriptor lock;
};

// Everything is opened before the first key goes.
Outcome<Places> open_places(const std::string& directory, const std::string& state_directory,
                            const EraseOrder& order) {
  Places places;
  auto configuration = backup::Tree::open(directory);
  if (!configuration) return stop(configuration.error());
  places.configuration.emplace(std::move(*configuration));
  if (order.authority) {
    auto authority = backup::Tree::open(*order.authority);
    if (!authority) return stop(authority.error().text(), "Nothing was erased.");
    places.authority.emplace(std::move(*authority));
  }
  auto state = backup::Tree::open(state_directory);
  if (!state && state.error().kind == ErrorKind::not_found) return places;
  if (!state) return stop(state.error());
  places.state.emplace(std::move(*state));
  auto lock = backup::lock_state(state_directory);
  if (!lock) return stop(lock.error().text(), stop_it_first);
  places.lock = std::move(*lock);
  return places;
}

// The main file is the last: while it is there the command can be run again.
Outcome<backup::Shredded> destroy(const std::string& main_path, const EraseOrder& order,
                                  const Revocations& found, std::vector<std::string>& left) {
  const std::string directory = config::directory_of(main_path);
  const auto places = open_places(directory, found.belongings.state_directory, order);
  if (!places) return std::unexpected(places.error());
  const auto& [configuration, state, authority, lock] = *places;
  backup::Shredded told;
  std::vector<std::string> queue;
  if (state) {
    queue = doomed_state(*state, told, left);
    std::vector<std::string> keys;
    std::ranges::copy_if(queue, std::back_inserter(keys),
                         [](const std::string& name) { return name.ends_with("queue.key"); });
    shred_all({&*state, keys}, told);
  }
  if (authority) shred_all({&*authority, {"authority.key", "authority.crt", "identity"}}, told);
  shred_all({&*configuration, beneath(directory, found.belongings, left)}, told);
  shred_all({&*configuration, doomed_configuration(*configuration, told)}, told);
  if (state) shred_all({&*state, queue}, told);
  shred_all({&*configuration, {main_path.substr(main_path.rfind('/') + 1)}}, told);
  return told;
}

void tell_destroyed(const backup::Shredded& told, const std::vector<std::string>& left,
                    Report& report) {
  report.text = fmt::format(
      "{} overwritten and removed: the queue's key first, then keys, secrets, users, the\n"
      "queue and the configuration.\n\nOn a magnetic disk their octets are gone. A flash medium "
      "may keep old blocks that\nno program can reach: the mail in them is noise without the "
      "queue's key, keys and\npasswords in them are not. Where that matters destroy the medium, "
      "and in any case do\nwhat follows.\n",
      counted(told.files, "file"));
  report.json["files"] = told.files;
  report.json["failed"] = told.failed;
  report.json["left"] = left;
  for (const std::string& path : left) {
    report.text +=
        fmt::format("\nNot touched, because it is outside of the configuration and the queue: {}",
                    printable(path));
  }
  if (!left.empty()) report.text += '\n';
  if (told.failed.empty()) return;
  report.exit_code = exit_failed;
  report.warning = fmt::format("not everything could be erased:\n{}\nDestroy the medium.",
                               fmt::join(told.failed, "\n"));
}

}  // namespace

Outcome<> erase(const std::string& configuration_path, const EraseOrder& order) {
  const std::string main_path = config::absolute_path(configuration_path);
  const auto found = find_revocations(main_path, order);
  if (!found) return std::unexpected(found.error());
  Report report;
  if (order.show) {
    report.text = "Nothing is erased by --show.\n";
    tell_revocations(*found, report);
    return report;
  }
  if (to_lower(order.confirmed_hostname) != found->belongings.hostname ||
      found->belongings.hostname.empty()) {
    return stop(
        "erasing destroys all mail, keys and users of this relay for good",
        fmt::format("To do it: `postern erase --yes-erase-everything {}`.",
                    found->belongings.hostname.empty() ? "HOSTNAME" : found->belongings.hostname));
  }
  const auto running = ask_relay(configuration_path, {control::Verb::status, std::nullopt, false});
  if (running) return stop("the relay runs", stop_it_first);
  hold_signals();
  std::vector<std::string> left;
  const auto told = destroy(main_path, order, *found, left);
  if (!told) return std::unexpected(told.error());
  tell_destroyed(*told, left, report);
  tell_revocations(*found, report);
  return report;
}

}  // namespace postern::tools
