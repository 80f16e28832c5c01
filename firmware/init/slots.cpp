// The slots' kernel images; see the header.
#include "firmware/init/slots.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "firmware/init/box.hpp"
#include "firmware/init/process.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr char seen_file[] = "/data/box/update-seen";  // the head of the last bundle looked at
constexpr std::size_t head_bytes = 4096;  // with the whole signature (update/bundle.hpp)
constexpr std::chrono::minutes install_time_max{30};  // 70 MB from a slow stick to a slow card
constexpr char reason_file[] = "/data/box/reason";    // left by an image that fails its trial
constexpr char early_reason_file[] = "/EFI/reason";   // likewise, on the EFI partition
constexpr std::size_t reason_bytes_max = 1000;        // a sentence or two

std::string stem_of(char slot) { return std::string("postern-") + slot; }

char other_than(char slot) { return slot == 'a' ? 'b' : 'a'; }
char other_slot() { return other_than(running_slot()); }

// The boot loader's own such names tell how many tries it made.
std::string damaged_name(char slot) { return stem_of(slot) + "+0.efi"; }

bool is_counted(const std::string& name, char slot) {
  return name.find('-', stem_of(slot).size()) != std::string::npos;
}

void keep(const std::string& path, const std::string& content) {
  if (!replace_file(path, content)) say_errno("could not write " + path, errno);
}

bool sync_by_name(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = fd >= 0 && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  return done;
}

// As the boot loader judges it. What cannot be read is not known to be anything: it is never
// removed as half gone.
enum class Front { startable, none, unknown };

Front front_of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  std::array<char, 2> magic{};
  const ssize_t count = fd >= 0 ? ::pread(fd, magic.data(), magic.size(), 0) : -1;
  if (fd >= 0) ::close(fd);
  if (count < 0) return Front::unknown;
  return count == 2 && magic == std::array{'M', 'Z'} ? Front::startable : Front::none;
}

bool hide(const std::string& path) {
  if (front_of(path) == Front::none) return true;
  const int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat facts{};
  constexpr std::array<char, image_front_bytes> zeros{};
  bool done = ::fstat(fd, &facts) == 0;
  const auto count = std::min(static_cast<std::size_t>(facts.st_size), zeros.size());
  done = done && ::pwrite(fd, zeros.data(), count, 0) == static_cast<ssize_t>(count) &&
         ::fsync(fd) == 0;
  ::close(fd);
  return done;
}

std::string head_of(const std::string& path) {
  std::string head(head_bytes, '\0');
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const ssize_t count = fd < 0 ? -1 : ::pread(fd, head.data(), head.size(), 0);
  if (fd >= 0) ::close(fd);
  head.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return head;
}

// Left by the supervisor, or by the first process, which opens no data partition.
std::string take_reason(const std::string& efi_place) {
  std::string why;
  for (const std::string& file : {efi_place + early_reason_file, std::string(reason_file)}) {
    if (const auto found = read_file(file)) why = trimmed(*found).substr(0, reason_bytes_max);
    ::unlink(file.c_str());
  }
  std::erase_if(why, [](char c) { return c < ' ' || c > '~'; });
  return why;
}

// Only where the other slot is good: else no start would lead anywhere.
bool give_last_name(const std::string& efi_place, char slot, const std::string& from,
                    const std::string& to) {
  if (slot_image(efi_place, other_than(slot)).state != SlotState::good) return false;
  const std::string directory = efi_place + kernels_directory + "/";
  const bool done = ::rename((directory + from).c_str(), (directory + to).c_str()) == 0;
  if (!done) say_errno("could not rename " + from, errno);
  ::sync();
  return done;
}

}  // namespace

SlotImage find_slot_image(const std::vector<std::string>& names, char slot) {
  const std::string stem = stem_of(slot);
  SlotImage found;
  for (const std::string& name : names) {
    std::string_view rest = name;
    if (!rest.starts_with(stem) || !rest.ends_with(".efi")) continue;
    rest = rest.substr(stem.size(), rest.size() - stem.size() - std::string_view(".efi").size());
    if (rest.empty()) return {SlotState::good, name};
    if (rest.front() != '+') continue;
    const std::string_view left = rest.substr(1, rest.find('-') - 1);
    const bool none = !left.empty() && left.find_first_not_of('0') == std::string_view::npos;
    if (found.state == SlotState::absent)
      found = {none ? SlotState::failed : SlotState::on_trial, name};
  }
  return found;
}

SlotImage slot_image(const std::string& efi_place, char slot) {
  const std::string directory = efi_place + kernels_directory;
  std::vector<std::string> names = directory_names(directory);
  std::erase_if(names, [&](const std::string& name) {
    return front_of(directory + "/" + name) == Front::none;
  });
  return find_slot_image(names, slot);
}

void settle_slots(const std::string& efi_place) {
  const std::string directory = efi_place + kernels_directory;
  for (const char slot : {'a', 'b'}) {
    const std::string kept = slot_image(efi_place, slot).name;
    for (const std::string& name : directory_names(directory)) {
      const std::string path = directory + "/" + name;
      if (!name.starts_with(stem_of(slot)) || name == kept) continue;
      const Front front = front_of(path);
      if (front == Front::none) {
        ::unlink(path.c_str());
      } else if (front == Front::startable && name.ends_with(".efi") &&
                 ::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, (path + ".twin").c_str(),
                             RENAME_NOREPLACE) != 0) {
        say_errno("could not take its ending from " + path, errno);
      }
    }
  }
  // Before another file gets the clusters.
  if (!sync_by_name(directory)) say_errno("sync " + directory, errno);
}

bool remove_slot_images(const std::string& directory, char slot) {
  std::vector<std::string> images;
  for (const std::string& name : directory_names(directory)) {
    if (name.starts_with(stem_of(slot))) images.push_back(directory + "/" + name);
  }
  bool done = true;
  for (const std::string& path : images) done = hide(path) && done;
  for (const std::string& path : images) done = ::unlink(path.c_str()) == 0 && done;
  return sync_by_name(directory) && done;
}

char running_slot() {
  const std::string line = read_file("/proc/cmdline").value_or("");
  return parameter(line, "postern.slot") == "b" ? 'b' : 'a';
}

std::int64_t stored_floor(const std::string& file) {
  return number_in(read_file(file).value_or("0"));
}

void raise_floor(std::int64_t image_date, const std::string& file) {
  if (image_date > stored_floor(file)) keep(file, std::to_string(image_date) + "\n");
}

bool mark_good(const std::string& efi_place, std::int64_t image_date) {
  const SlotImage image = slot_image(efi_place, running_slot());
  if (image.state == SlotState::good) return true;
  const std::string directory = efi_place + kernels_directory;
  const std::string good = directory + "/postern-" + running_slot() + ".efi";
  if (image.state == SlotState::absent ||
      ::rename((directory + "/" + image.name).c_str(), good.c_str()) != 0) {
    say_errno("this slot's image could not be marked good", errno);
    return false;
  }
  raise_floor(image_date);
  static_cast<void>(take_reason(efi_place));
  ::sync();
  return true;
}

bool make_try_the_last(const std::string& efi_place, char slot) {
  const SlotImage image = slot_image(efi_place, slot);
  return image.state == SlotState::on_trial && !is_counted(image.name, slot) &&
         give_last_name(efi_place, slot, image.name, stem_of(slot) + "+0-1.efi");
}

bool call_damaged(const std::string& efi_place, char slot) {
  const SlotImage image = slot_image(efi_place, slot);
  if (image.state != SlotState::good) return make_try_the_last(efi_place, slot);
  return give_last_name(efi_place, slot, image.name, damaged_name(slot));
}

std::optional<std::string> take_failed_update(const std::string& efi_place, bool watchdog_reset) {
  const SlotImage other = slot_image(efi_place, other_slot());
  if (other.state != SlotState::failed ||
      slot_image(efi_place, running_slot()).state != SlotState::good) {
    return std::nullopt;
  }
  if (!remove_slot_images(efi_place + kernels_directory, other_slot()))
    say_errno("could not remove " + other.name, errno);
  ::sync();
  const std::string why = take_reason(efi_place);
  if (other.name == damaged_name(other_slot())) {
    return "slot " + std::string(1, other_slot()) +
           " ran before and is damaged: its root does not read as it was written. The medium may "
           "be worn out; an update newer than that slot's repairs it";
  }
  const bool three = !other.name.ends_with("-1.efi");
  return "the update in slot " + std::string(1, other_slot()) + " failed" +
         (three ? " three times: " : ": ") +
         (!why.empty()     ? why
          : watchdog_reset ? "it hung, and the watchdog started the box again"
          : three          ? "it never came so far as to say why; it may hang"
                  : "it never came so far as to say why; it may hang, or its power failed");
}

void leave_reason(const std::string& why) {
  keep(reason_file, why + "\n");
  ::sync();
}

void leave_early_reason(const std::string& efi_place, const std::string& why) {
  const std::string path = efi_place + early_reason_file;
  if (read_file(path) == why + "\n") return;  // of the try before
  if (!write_file(path, why + "\n")) say_errno("could not write " + path, errno);
}

bool other_slot_is_good(const std::string& efi_place) {
  return slot_image(efi_place, other_slot()).state == SlotState::good;
}

UpdateResult take_update(const Place& place, const std::function<void()>& feed, std::string& told) {
  const std::string file = place.path + "/" + update_file;
  if (::access(file.c_str(), F_OK) != 0) return UpdateResult::nothing;
  const std::string head = head_of(file);
  if (place.stick && !place.plugged_in && !head.empty() && head == read_file(seen_file)) {
    say("the update on " + place.name + " was looked at before; plug it in anew to try it again");
    return UpdateResult::nothing;
  }
  std::string answer;
  const int code =
      run_and_wait({"/usr/bin/postern", "update", file}, 0, answer, feed, install_time_max);
  const std::string reason = value_behind(answer, "postern: ");
  told = code == 0 ? "version " + value_behind(answer, "Version ")
                   : "the dropped update is refused: " +
                         (reason.empty() ? "its check ended without a word" : reason);
  if (told.ends_with('.')) told.pop_back();
  keep(seen_file, head);
  if (!place.stick && ::unlink(file.c_str()) != 0) say_errno("could not remove " + file, errno);
  if (place.stick && code != 0) leave_problems(place, told + "\n");
  ::sync();
  return code == 0 ? UpdateResult::installed : UpdateResult::refused;
}

}  // namespace postern::firmware
