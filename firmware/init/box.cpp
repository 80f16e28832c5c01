// The box's identity, keys and notice; see the header.
#include "firmware/init/box.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "firmware/init/clock_keeper.hpp"
#include "firmware/init/drop_files.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr char box_directory[] = "/data/box";
constexpr char identity_file[] = "/data/box/identity";
constexpr char authority_file[] = "/data/box/authority.crt";
constexpr char settings_file[] = "/data/box/network";
constexpr std::size_t identity_octets = 8;             // boxes of one office are told apart
constexpr std::size_t selector_digits = 8;             // of the identity, in the names of DKIM keys
constexpr std::size_t status_bytes_max = 16UZ * 1024;  // of each command; a page or two to read
constexpr std::chrono::seconds status_time_max{60};
constexpr std::chrono::seconds settings_time_max{60};
constexpr char program[] = "/usr/bin/postern";  // runs as root: the authority's key is root's

std::string make_identity() {
  std::array<std::uint8_t, identity_octets> octets{};
  // Without a flag it waits until the kernel's random pool is ready (getrandom(2)).
  while (::getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size())) {
  }
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t octet : octets) {
    text += digits[octet >> 4];
    text += digits[octet & 15];
  }
  return text;
}

std::string read_identity() {
  const std::string found(trimmed(read_file(identity_file).value_or("")));
  if (found.size() == 2 * identity_octets &&
      found.find_first_not_of("0123456789abcdef") == std::string::npos) {
    return found;
  }
  const std::string made = make_identity();
  if (!replace_file(identity_file, made + "\n"))
    say_errno("the box's identity could not be kept", errno);
  return made;
}

// Root's, whoever made it; a link is left alone. -1 when there is none, else to be closed.
int take_directory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 && (::fchown(fd, 0, 0) != 0 || ::fchmod(fd, configuration_directory_mode) != 0))
    say_errno("could not take " + directory, errno);
  return fd;
}

// The program made files; they belong to the relay, and their directory to root.
void give_files_of(const std::string& directory) {
  const int fd = take_directory(directory);
  if (fd < 0) return;
  for (const std::string& name : directory_names("/proc/self/fd/" + std::to_string(fd))) {
    if (::fchownat(fd, name.c_str(), relay_user, relay_user, AT_SYMLINK_NOFOLLOW) != 0)
      say_errno(directory + "/" + name, errno);
  }
  ::close(fd);
}

std::vector<std::string> certificate_words(const std::string& directory,
                                           const std::string& address) {
  std::vector<std::string> words = {program,      "--config", directory + "/postern.toml",
                                    "tls",        "generate", "--authority",
                                    box_directory};
  if (!address.empty()) words.insert(words.end(), {"--name", address});
  return words;
}

}  // namespace

std::string value_behind(std::string_view text, std::string_view label) {
  const std::size_t at = text.find(label);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + label.size());
  return std::string(trimmed(text.substr(0, text.find('\n'))));
}

void take_directories() {
  const auto take = [](const std::string& directory) {
    if (const int fd = take_directory(directory); fd >= 0) ::close(fd);
  };
  take(configuration_directory);
  for (const char* name : drop_directories) take(std::string(configuration_directory) + "/" + name);
}

Box open_box(const FeedWatchdog& feed) {
  if (::mkdir(box_directory, 0700) != 0 && errno != EEXIST) say_errno(box_directory, errno);
  Box box;
  box.identity = read_identity();
  const auto before = read_file(authority_file);
  std::string told;
  if (run_and_wait({program, "tls", "authority", "--authority", box_directory, "--label",
                    "Postern box " + box.identity, "--from", std::to_string(image_date())},
                   0, told, feed) == 0) {
    box.fingerprint = value_behind(told, "fingerprint:");
    if (before && read_file(authority_file) != before) say(authority_is_new);
  } else {
    say("the box's authority could not be made:");
    say_lines(told);
  }
  return box;
}

Renewal renew_certificate(const std::string& directory, const std::string& address,
                          const FeedWatchdog& feed) {
  std::string told;
  if (run_and_wait(certificate_words(directory, address), 0, told, feed) != 0) {
    say("the certificate could not be renewed:");
    say_lines(told);
    const std::string why = value_behind(told, "postern: ");
    return {false, why.empty() ? "nothing is said about it" : why, {}};
  }
  give_files_of(directory + "/tls");
  return {told.contains("Written:"), {}, value_behind(told, "fingerprint:")};
}

void complete_configuration(const std::string& directory, const Box& box,
                            const std::string& address, const FeedWatchdog& feed) {
  const std::string file = directory + "/postern.toml";
  std::string told;
  // What these cannot do the check of the whole configuration tells in the user's words.
  static_cast<void>(run_and_wait(certificate_words(directory, address), 0, told, feed));
  give_files_of(directory + "/tls");
  static_cast<void>(run_and_wait({program, "--config", file, "dkim", "generate", "--missing",
                                  "--selector", "p" + box.identity.substr(0, selector_digits)},
                                 0, told, feed));
  give_files_of(directory + "/dkim");
  if (::lchown(file.c_str(), relay_user, relay_user) != 0) say_errno(file, errno);
}

std::string dns_records_of(const std::string& directory, const FeedWatchdog& feed) {
  std::string told;
  const int code = run_and_wait({program, "--config", directory + "/postern.toml", "dkim", "show"},
                                0, told, feed);
  return code == 0 ? told : std::string();
}

std::optional<InterfaceSettings> fixed_settings(bool fresh, const FeedWatchdog& feed) {
  if (!fresh) {
    if (const auto kept = read_file(settings_file)) return read_settings(*kept);
  }
  const std::string file = std::string(configuration_directory) + "/postern.toml";
  std::string told;
  if (run_and_wait({program, "--config", file, "network"}, relay_user, told, feed,
                   settings_time_max) != 0) {
    say("the configuration's [network] cannot be read; an address is asked for by DHCP:");
    say_lines(told);
    return std::nullopt;
  }
  if (!replace_file(settings_file, told)) say_errno(settings_file, errno);
  return read_settings(told);
}

void forget_fixed_settings() { ::unlink(settings_file); }

std::string notice_text(const Notice& notice) {
  const std::string trouble = notice.trouble.empty() ? "" : "\nTROUBLE: " + notice.trouble + "\n";
  constexpr char writer[] = "\nThe box writes this file; changes to it are lost.\n";
  if (notice.box.identity.empty()) return "Postern mail relay" + (writer + trouble);
  std::string text = "Postern mail relay, box " + notice.box.identity + writer + trouble +
                     "\nAddress      " + (notice.address.empty() ? "none yet" : notice.address) +
                     "\nAuthority    POSTERN-CA.CRT beside this file; import it at every device\n"
                     "Fingerprint  SHA-256 " +
                     notice.box.fingerprint + "\n\n";
  if (!notice.update.empty()) text += "Last update  " + notice.update + "\n\n";
  if (notice.refused)
    text +=
        "The postern.toml that was dropped is refused; POSTERN-PROBLEMS.TXT, where it was "
        "dropped,\n"
        "says why.\n";
  if (!notice.configured) {
    return text +
           "There is no configuration yet, and no port is open. What to do next:\n"
           "1. Copy postern.toml here or onto a USB stick (FAT), and what it names: users.d,\n"
           "   secrets, and tls and dkim when you bring keys of your own; where it names none the\n"
           "   box makes them. It must say state_directory = \"/data/queue\". Keep a copy.\n"
           "2. Start the box again, or plug the stick into it. It checks the files, takes them\n"
           "   and overwrites them where they were.\n";
  }
  text +=
      "The box has a configuration. A new postern.toml here takes effect at the next start, on a\n"
      "USB stick (FAT) when it is plugged in. An update, postern-update.bundle, is brought "
      "likewise.\n";
  if (!notice.dns_records.empty()) {
    text +=
        "\nWhat to do next: publish these DNS records, so that receivers can check the "
        "signatures.\n\n" +
        notice.dns_records;
  }
  return text;
}

namespace {

void write_onto(const Place& place, const std::string& name, const std::string& content) {
  const std::string path = place.path + "/" + name;
  if (read_file(path) != content && !write_file(path, content))
    say(name + " could not be written onto " + place.name);
}

}  // namespace

void write_notice(const Place& place, const Notice& notice) {
  write_onto(place, "POSTERN.TXT", with_carriage_returns(notice_text(notice)));
  if (const auto authority = read_file(authority_file))
    write_onto(place, "POSTERN-CA.CRT", *authority);
}

void write_status(const Place& place, const FeedWatchdog& feed) {
  const std::string configuration = std::string(configuration_directory) + "/postern.toml";
  std::string text;
  for (const std::string_view words : {"status", "queue list"}) {
    std::vector<std::string> command = {program, "--config", configuration};
    for (const std::string_view word : split(words, ' ')) command.emplace_back(word);
    std::string told;
    // What it cannot tell it says as a sentence, which is as good here; once is enough.
    const bool answered = run_and_wait(command, 0, told, feed, status_time_max) == 0;
    if (told.size() > status_bytes_max) told = told.substr(0, status_bytes_max) + "\n(cut here)\n";
    text += (text.empty() ? "postern " : "\npostern ") + std::string(words) + "\n\n" + told;
    if (!answered) break;
  }
  write_onto(place, "POSTERN-STATUS.TXT", with_carriage_returns(text));
}

void leave_problems(const Place& place, const std::string& problems) {
  write_onto(place, problems_file, with_carriage_returns(problems));
}

}  // namespace postern::firmware
