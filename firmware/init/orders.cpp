// Orders brought on a medium; see the header.
#include "firmware/init/orders.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <string_view>
#include <vector>

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

std::string path_of(const std::string& place, const std::string& order) {
  return place + "/POSTERN-" + order + ".TXT";
}

// For people, on whatever machine the medium is read.
void tell(const std::string& place, const std::string& order, const std::string& text) {
  for (const std::string_view line : split(text, '\n')) say(line);
  std::string lines;
  for (const char c : text) {
    if (c == '\n') lines += '\r';
    lines += c;
  }
  if (!write_file(path_of(place, order + "-RESULT"), lines))
    say("what came of it could not be written onto the medium; is it full?");
  ::sync();
}

// The order's text; its file is gone when this returns. Nothing: there is no such order.
std::optional<std::string> take_order(const std::string& place, const std::string& order) {
  const std::string path = path_of(place, order);
  if (::access(path.c_str(), F_OK) != 0) return std::nullopt;
  std::string text = read_file(path).value_or("");
  shred(path);
  ::sync();
  if (text.size() > order_bytes_max) text.clear();
  return text;
}

// Runs the operator's command with the passphrase, which is in no argument.
int run_with_passphrase(std::vector<std::string> words, const std::string& passphrase,
                        const FeedWatchdog& feed, std::string& told) {
  words.insert(words.begin(), {program, "--config", main_file});
  words.insert(words.end(), {"--passphrase-file", passphrase_file, "--authority", box_directory});
  int code = -1;
  if (write_file(passphrase_file, passphrase, 0600)) code = run_and_wait(words, 0, &told, feed);
  shred(passphrase_file);
  return code;
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
  // What a power cut left of one.
  for (const std::string& old : directory_names(place)) {
    if (old.contains(".backup.part-")) ::unlink((place + "/" + old).c_str());
  }
  std::string told;
  say("a backup is being written; leave the medium where it is");
  const int code = run_with_passphrase({"backup", place + "/" + name}, order, orders.feed, told);
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
  say("the backup " + found.front() + " is being restored; leave the medium where it is");
  static_cast<void>(run_with_passphrase({"restore", place + "/" + found.front(), "--replace"},
                                        order, orders.feed, told));
  // What was put in its place counts, also when the relay has something to say against it.
  const bool restored = told.find("Restored from") != std::string::npos;
  tell(place, "RESTORE",
       (restored ? "" : "Nothing was restored, and nothing was changed.\n") + told);
  return restored ? OrderResult::restart : OrderResult::nothing;
}

// What no file holds any more is given back to the medium, which then may forget it.
bool discard_free_blocks() {
  const int fd = ::open("/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  fstrim_range everything{0, ~std::uint64_t{0}, 0};
  const bool done = ::ioctl(fd, FITRIM, &everything) == 0;
  ::close(fd);
  return done;
}

OrderResult erase(const std::string& place, const std::string& order, const Orders& orders) {
  if (!names_this_box(order, orders.box.identity)) {
    tell(place, "ERASE",
         "Nothing was erased: the order does not name this box. Its first line must be the box's\n"
         "name, 16 digits and letters, as POSTERN.TXT tells it.\n");
    return OrderResult::nothing;
  }
  std::string revoke;
  if (run_and_wait(
          {program, "--config", main_file, "erase", "--show", "--authority", box_directory}, 0,
          &revoke, orders.feed) != 0) {
    revoke = "At every device: remove the authority with the SHA-256 fingerprint\n" +
             orders.box.fingerprint + "\n";
  }
  revoke.erase(0, revoke.starts_with("Nothing is erased") ? revoke.find('\n') + 1 : 0);
  orders.stop_relay();
  say("keys and data of this box are being destroyed");
  // Without this key what is left of the mail is noise; so it goes first.
  shred("/data/queue/queue.key");
  ::sync();
  for (const char* first : {box_directory, configuration_directory}) shred_tree(first, orders.feed);
  for (const std::string& name : directory_names("/data")) {
    if (name != "lost+found") shred_tree("/data/" + name, orders.feed);
  }
  ::sync();
  const bool discarded = discard_free_blocks();
  for (const char* name : {"/POSTERN.TXT", "/POSTERN-CA.CRT"}) ::unlink((place + name).c_str());
  tell(place, "ERASE",
       "Box " + orders.box.identity +
           " is erased: keys, users, configuration and mail were overwritten and removed, the\n"
           "queue's key first. " +
           (discarded ? "The medium was told to discard what it held.\n"
                      : "The medium cannot discard what it held.\n") +
           "A flash medium may still keep old blocks that no program can reach; where that\n"
           "matters destroy it. The box starts as a new one now, with another name.\n" +
           revoke);
  return OrderResult::restart;
}

}  // namespace

bool names_this_box(std::string_view order, std::string_view identity) {
  if (order.starts_with("\xEF\xBB\xBF")) order.remove_prefix(3);  // an editor's byte order mark
  const std::string_view line = trimmed(order.substr(0, order.find('\n')));
  return !identity.empty() && line == identity;
}

OrderResult take_orders(const std::string& place, const Orders& orders) {
  if (const auto order = take_order(place, "BACKUP")) make_backup(place, *order, orders);
  OrderResult result = OrderResult::nothing;
  if (const auto order = take_order(place, "RESTORE")) result = restore(place, *order, orders);
  // Not both at once: an order to erase what was just restored is hardly meant.
  if (result == OrderResult::restart) return result;
  if (const auto order = take_order(place, "ERASE")) result = erase(place, *order, orders);
  return result;
}

}  // namespace postern::firmware
