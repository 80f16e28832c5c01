// Orders brought on a medium; see the header.
#include "firmware/init/orders.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>
#include <string_view>
#include <vector>

#include "firmware/init/drop_files.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/shred.hpp"
#include "firmware/init/storage.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr char program[] = "/usr/bin/postern";
constexpr char main_file[] = "/data/config/postern.toml";
constexpr char box_directory[] = "/data/box";
constexpr char passphrase_file[] = "/run/passphrase";  // in memory
constexpr std::string_view backup_ending = ".backup";
constexpr std::size_t order_bytes_max = 4096;
constexpr std::uint64_t discard_step_bytes = std::uint64_t{1} << 30;
constexpr std::uint64_t discard_bytes_max = std::uint64_t{1} << 46;
constexpr std::uint64_t medium_free_bytes_min = std::uint64_t{4} << 20;  // for results and notices
constexpr std::size_t failures_told_max = 20;
constexpr std::string_view revoke_mark = "\nTo revoke:\n";
// Of `postern restore` (tools/postern/output.hpp).
constexpr int exit_done = 0, exit_untouched = 1, exit_half = 3, exit_unusable = 4;

std::string path_of(const std::string& place, const std::string& order) {
  return place + "/POSTERN-" + order + ".TXT";
}

// For people, on whatever machine the medium is read.
void tell(const std::string& place, const std::string& order, const std::string& text) {
  say_lines(text);
  if (!write_file(path_of(place, order + "-RESULT"), with_carriage_returns(text)))
    say("what came of it could not be written onto the medium; is it full?");
  ::sync();
}

// Nothing: there is no such order.
std::optional<std::string> read_order(const std::string& place, const std::string& order) {
  const std::string path = path_of(place, order);
  if (::access(path.c_str(), F_OK) != 0) return std::nullopt;
  std::string text = read_file(path).value_or("");
  if (text.size() > order_bytes_max) text.clear();
  return text;
}

// Its file is gone when this returns something: else it would be followed at every start.
std::optional<std::string> take_order(const std::string& place, const std::string& order) {
  auto text = read_order(place, order);
  if (!text) return text;
  const std::string path = path_of(place, order);
  // One that is too long holds no passphrase, and to overwrite it could take for ever.
  text->empty() ? static_cast<void>(::unlink(path.c_str())) : shred(path);
  ::sync();
  if (::access(path_of(place, order).c_str(), F_OK) != 0) return text;
  tell(place, order,
       "The order was not followed: its file cannot be removed, so it would be followed at every\n"
       "start. Is the medium damaged or protected from writing? Nothing was changed.\n");
  ::explicit_bzero(text->data(), text->size());
  return std::nullopt;
}

// Runs the operator's command with the passphrase, which is in no argument.
int run_with_passphrase(std::vector<std::string> words, const std::string& passphrase,
                        const FeedWatchdog& feed, std::string& told) {
  words.insert(words.begin(), {program, "--config", main_file});
  words.insert(words.end(), {"--passphrase-file", passphrase_file, "--authority", box_directory});
  int code = exit_untouched;
  if (write_file(passphrase_file, passphrase, 0600)) {
    code = run_and_wait(words, 0, told, feed);
  } else {
    told = "The passphrase could not be handed over; is there too little memory?\n";
  }
  shred(passphrase_file);
  return code;
}

std::uint64_t free_bytes(const std::string& place) {
  struct statvfs facts{};
  return ::statvfs(place.c_str(), &facts) == 0 ? std::uint64_t{facts.f_bavail} * facts.f_frsize : 0;
}

std::string time_for_names() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

void make_backup(const std::string& place, const std::string& order, const Orders& orders) {
  if (::access(main_file, F_OK) != 0)
    return tell(place, "BACKUP",
                "The box has no configuration yet: there is nothing to back up.\n");
  const std::string name =
      "postern-" + orders.box.identity + "-" + time_for_names() + std::string(backup_ending);
  // What a power cut left of one; in the middle of the renaming it left both names for one content.
  for (const std::string& old : directory_names(place)) {
    const auto behind = old.find(".part-");
    if (!old.contains(std::string(backup_ending) + ".part-")) continue;
    ::unlink((place + "/" + old.substr(0, behind)).c_str());
    ::unlink((place + "/" + old).c_str());
  }
  std::string told;
  say("a backup is being written; leave the medium where it is");
  int code = run_with_passphrase({"backup", place + "/" + name}, order, orders.feed, told);
  if (code == 0 && free_bytes(place) < medium_free_bytes_min) {
    code = exit_untouched;
    ::unlink((place + "/" + name).c_str());
    told = "It left too little room on the medium; take other files away, then try again.\n";
  }
  tell(place, "BACKUP",
       code == 0 ? "The backup " + name + " is good.\n" + told
                 : "There is NO backup: it could not be made.\n" + told);
}

OrderResult restore(const std::string& place, const std::string& order, const Orders& orders) {
  std::vector<std::string> found;
  for (const std::string& name : directory_names(place)) {
    if (name.ends_with(backup_ending)) found.push_back(name);
  }
  if (found.size() != 1) {
    tell(place, "RESTORE",
         "Nothing was restored: beside the order there must be one file *.backup, and there are " +
             std::to_string(found.size()) + ".\n");
    return OrderResult::nothing;
  }
  orders.stop_relay();
  std::string told;
  tell(place, "RESTORE",
       "The backup " + found.front() +
           " is being restored. When this is all that stands\n"
           "here, it was interrupted: unless the box takes mail again, put the order here once "
           "more,\n"
           "and start the box again. Until then what the box was before may lie in folders "
           "replaced-..., its mail too.\n");
  say("leave the medium where it is");
  const int code = run_with_passphrase({"restore", place + "/" + found.front(), "--replace"}, order,
                                       orders.feed, told);
  // What was put in its place counts, also when the relay has something to say against it.
  const bool restored = code == exit_done || code == exit_unusable;
  // One that was killed tells nothing.
  if (!restored && code != exit_half && code >= 0) {
    tell(place, "RESTORE", "Nothing was restored, and nothing was changed.\n" + told);
    return OrderResult::nothing;
  }
  tell(place, "RESTORE",
       (restored
            ? ""
            : "The restore did NOT come to its end. What the box was before may lie in folders\n"
              "replaced-... already, and no mail is taken then. Put this order here once more.\n") +
           told);
  return OrderResult::restart;
}

// What no file holds any more is given back to the medium, which then may forget it: in pieces, as
// all of a card at once may take longer than the watchdog waits.
bool discard_free_blocks(const FeedWatchdog& feed) {
  const int fd = ::open("/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  std::uint64_t at = 0;
  bool done = true;
  for (; done && at < discard_bytes_max; at += discard_step_bytes) {
    feed();
    fstrim_range piece{at, discard_step_bytes, 0};
    done = ::ioctl(fd, FITRIM, &piece) == 0;
  }
  // ext4 refuses a piece behind its end.
  if (!done && errno == EINVAL && at > discard_step_bytes) done = true;
  ::close(fd);
  return done;
}

// What others keep because of this box. Where a power cut ended an erase, that has told it already.
std::string find_revocations(const std::string& place, const Orders& orders) {
  std::string revoke;
  if (run_and_wait(
          {program, "--config", main_file, "erase", "--show", "--authority", box_directory}, 0,
          revoke, orders.feed) != 0) {
    const std::string before = read_file(path_of(place, "ERASE-RESULT")).value_or("");
    if (is_result_of(before, orders.box.identity)) {
      if (std::string told = revocations_in(before); !told.empty()) return told;
    }
    return "At every device: remove the authority with the SHA-256 fingerprint\n" +
           orders.box.fingerprint + "\nAt DNS, providers and devices: all keys and passwords of " +
           "this box; its\nconfiguration could not be read to name them.\n";
  }
  revoke.erase(0, revoke.starts_with("Nothing is erased") ? revoke.find('\n') + 1 : 0);
  return revoke;
}

// Everything but the identity: while that is there, the order is followed again after a power cut.
void destroy_data(Shredding& shredding) {
  // Without this key what is left of the mail is noise; so it goes first, also where a restore put
  // an older queue away.
  shred_named("/data", "queue.key", shredding);
  ::sync();
  shred_tree(configuration_directory, shredding);
  for (const std::string& name : directory_names(box_directory)) {
    if (name != "identity") shred_tree(std::string(box_directory) + "/" + name, shredding);
  }
  for (const std::string& name : directory_names("/data")) {
    if (name != "lost+found" && name != "box") shred_tree("/data/" + name, shredding);
  }
  ::sync();
}

std::string erased_text(const std::string& identity, const Shredding& shredding,
                        const std::string& discarded) {
  std::string text = "Box " + identity;
  if (shredding.failed.empty()) {
    text +=
        " is erased: keys, users and configuration were overwritten and removed, the queue's\n"
        "key first; mail is removed, and noise without that key. ";
  } else {
    text += " is NOT erased as a whole:\n";
    for (std::size_t at = 0; at < std::min(shredding.failed.size(), failures_told_max); ++at)
      text += shredding.failed[at] + "\n";
    text += "Destroy the medium. ";
  }
  return text + discarded +
         "\nA flash medium may still keep old blocks that no program can reach; where that\n"
         "matters destroy it. The box starts as a new one now, with another name.\n";
}

OrderResult refuse_erase(const std::string& place, const std::string& order) {
  shred(path_of(place, "ERASE"));
  // A power cut came between the end of an erase and the end of its order.
  if (is_result_of(read_file(path_of(place, "ERASE-RESULT")).value_or(""), named_box(order)))
    return OrderResult::nothing;
  tell(place, "ERASE",
       "Nothing was erased: the order does not name this box. Its first line must be the box's\n"
       "name, 16 digits and letters, as POSTERN.TXT tells it.\n");
  return OrderResult::nothing;
}

OrderResult erase(const std::string& place, const std::string& order, const Orders& orders) {
  const std::string& identity = orders.box.identity;
  if (!names_this_box(order, identity)) return refuse_erase(place, order);
  const std::string revoke = std::string(revoke_mark) + find_revocations(place, orders);
  orders.stop_relay();
  tell(place, "ERASE",
       "Box " + identity +
           " is being erased. When this is all that stands here, it was interrupted: leave the\n"
           "order here, and start the box again.\n" +
           revoke);
  say("keys and data of this box are being destroyed");
  Shredding shredding{orders.feed};
  // One that was refused still lies there, with its secrets.
  shred_drop(place, std::numeric_limits<std::size_t>::max(), shredding);
  destroy_data(shredding);
  tell(place, "ERASE",
       erased_text(identity, shredding, "The medium is being told to discard what it held.") +
           revoke);
  shred_tree(box_directory, shredding);
  ::sync();
  const std::string discarded = discard_free_blocks(orders.feed)
                                    ? "The medium was told to discard what it held."
                                    : "The medium cannot discard what it held.";
  for (const char* name : {"/POSTERN.TXT", "/POSTERN-CA.CRT"}) ::unlink((place + name).c_str());
  tell(place, "ERASE", erased_text(identity, shredding, discarded) + revoke);
  shred(path_of(place, "ERASE"));
  return OrderResult::restart;
}

// What a power cut left of a restore: the backup that it came of is on a medium.
void sweep_staging(const FeedWatchdog& feed) {
  Shredding shredding{feed};
  for (const char* directory : {"/data/config", "/data/queue", box_directory})
    shred_tree(std::string(directory) + "/.restore", shredding);
}

}  // namespace

std::string_view named_box(std::string_view order) {
  if (order.starts_with("\xEF\xBB\xBF")) order.remove_prefix(3);  // an editor's byte order mark
  return trimmed(order.substr(0, order.find('\n')));
}

bool names_this_box(std::string_view order, std::string_view identity) {
  return !identity.empty() && named_box(order) == identity;
}

bool is_result_of(std::string_view result, std::string_view identity) {
  return !identity.empty() && result.starts_with("Box " + std::string(identity) + " is ");
}

std::string revocations_in(std::string_view result) {
  std::string text(result);
  std::erase(text, '\r');
  const std::size_t at = text.find(revoke_mark);
  return at == std::string::npos ? std::string() : text.substr(at + revoke_mark.size());
}

OrderResult take_orders(const std::string& place, const Orders& orders) {
  sweep_staging(orders.feed);
  if (auto order = take_order(place, "BACKUP")) {
    make_backup(place, *order, orders);
    ::explicit_bzero(order->data(), order->size());
  }
  OrderResult result = OrderResult::nothing;
  if (auto order = take_order(place, "RESTORE")) {
    result = restore(place, *order, orders);
    ::explicit_bzero(order->data(), order->size());
  }
  // Not both at once: an order to erase what was just restored is hardly meant.
  if (result == OrderResult::restart) return result;
  if (const auto order = read_order(place, "ERASE")) result = erase(place, *order, orders);
  return result;
}

}  // namespace postern::firmware
