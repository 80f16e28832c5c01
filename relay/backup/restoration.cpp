// Putting back what a backup holds; see the header.
#include "relay/backup/restoration.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "relay/backup/queue.hpp"

namespace postern::backup {

namespace {

const std::string staging = ".restore";
constexpr std::uint64_t queue_key_bytes = 32;
// A file others may read is a certificate; nothing is written by others or run.
constexpr unsigned file_mode_bits = 0644, folder_mode_bits = 0755;

std::string staged(const std::string& inner) { return staging + '/' + inner; }

std::string top_of(const std::string& path) { return path.substr(0, path.find('/')); }

// A folder with nothing in it is no hindrance: it was made for what comes.
Result<bool> is_something(const Tree& tree, const std::string& name) {
  const auto facts = tree.facts(name);
  if (!facts) {
    if (facts.error().kind == ErrorKind::not_found) return false;
    return std::unexpected(facts.error());
  }
  if (!facts->folder) return true;
  const auto inside = tree.names(name);
  if (!inside) return std::unexpected(inside.error());
  return !inside->empty();
}

Result<> fail_shape(const char* detail) {
  return fail(ErrorKind::corrupt, "take the backup", detail);
}

}  // namespace

bool is_queue_file(std::string_view name) {
  return name.starts_with("queue.") || name == "spool" || name == "snapshot";
}

// --- Survey

Result<> Survey::begin(const Entry& entry) {
  kept_ = nullptr;
  bytes_ += entry.size;
  if (entry.place == Place::about) kept_ = &about_;
  if (entry.place == Place::configuration && entry.path == main_file) kept_ = &main_text_.emplace();
  has_authority_ = has_authority_ || entry.place == Place::authority;
  if (entry.place == Place::state) {
    has_queue_ = has_queue_ || entry.path == "queue.db";
    if (entry.path == "queue.key") {
      has_queue_key_ = true;
      if (entry.size != queue_key_bytes) return fail_shape("its queue key is not 32 octets long");
    }
  }
  return {};
}

Result<> Survey::content(ByteView octets) {
  if (kept_ != nullptr) kept_->append(as_text(octets));  // bounded by small_entry_bytes_max
  return {};
}

Result<> Survey::end_file(std::string_view) { return {}; }

Result<> Survey::check() const {
  if (!main_text_) return fail_shape("it holds no configuration");
  if (has_queue_ && !has_queue_key_) return fail_shape("it holds a queue without its key");
  return {};
}

// --- Restoration

Result<std::unique_ptr<Restoration>> Restoration::begin(const Destination& to) {
  std::unique_ptr<Restoration> made(new Restoration(to));
  for (const auto& [place, path] : {std::pair(Place::state, to.state_directory),
                                    std::pair(Place::authority, to.authority_directory),
                                    std::pair(Place::configuration, to.configuration_directory)}) {
    if (path.empty()) continue;
    auto tree = Tree::open(path);
    if (!tree) return std::unexpected(tree.error());
    made->targets_.push_back({place, std::move(*tree)});
  }
  for (const Target& target : made->targets_) {
    // Of a run that a power cut ended.
    if (auto swept = target.tree.remove_all(staging); !swept) return std::unexpected(swept.error());
    if (auto folder = target.tree.make_folder(staging); !folder)
      return std::unexpected(folder.error());
  }
  return made;
}

Restoration::~Restoration() {
  for (const Target& target : targets_) static_cast<void>(target.tree.remove_all(staging));
}

const Tree* Restoration::tree_of(Place place) const {
  const auto found = std::ranges::find(targets_, place, &Target::place);
  return found == targets_.end() ? nullptr : &found->tree;
}

std::string Restoration::final_name(Place place, const std::string& top) const {
  return place == Place::configuration && top == main_file ? to_.main_name : top;
}

// The main file first.
Result<std::vector<std::string>> Restoration::old_names(const Target& target) const {
  std::vector<std::string> names;
  if (target.place == Place::state) {
    const auto all = target.tree.names("");
    if (!all) return all;
    for (const std::string& name : *all) {
      if (is_queue_file(name)) names.push_back(name);
    }
    return names;
  }
  std::set<std::string> wanted;
  if (target.place == Place::configuration) {
    names.push_back(to_.main_name);
    wanted.insert(configuration_folders.begin(), configuration_folders.end());
  }
  if (const auto tops = tops_.find(target.place); tops != tops_.end()) {
    for (const std::string& top : tops->second) wanted.insert(final_name(target.place, top));
  }
  if (target.place == Place::configuration) wanted.erase(to_.main_name);
  names.insert(names.end(), wanted.begin(), wanted.end());
  return names;
}

Result<std::vector<std::string>> Restoration::in_the_way() const {
  std::vector<std::string> found;
  for (const Target& target : targets_) {
    const auto names = old_names(target);
    if (!names) return names;
    for (const std::string& name : *names) {
      const auto something = is_something(target.tree, name);
      if (!something) return std::unexpected(something.error());
      if (*something) found.push_back(target.tree.path_of(name));
    }
  }
  return found;
}

Result<> Restoration::begin(const Entry& entry) {
  file_.reset();
  if (entry.place == Place::about) return {};
  const Tree* tree = tree_of(entry.place);
  if (tree == nullptr) return fail_shape("it holds more than at the first look");
  tops_[entry.place].insert(top_of(entry.path));
  entries_.push_back(entry);
  const std::string path = staged(entry.path);
  if (entry.kind == Kind::folder) return tree->make_folder(path);
  // Folders of old backups' deeper files may have no entry of their own.
  for (std::size_t slash = path.find('/', staging.size() + 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (tree->holds(path.substr(0, slash))) continue;
    if (auto made = tree->make_folder(path.substr(0, slash)); !made) return made;
  }
  auto file = tree->create_file(path);
  if (!file) return std::unexpected(file.error());
  file_ = std::move(*file);
  file_path_ = tree->path_of(path);
  return {};
}

Result<> Restoration::content(ByteView octets) {
  while (file_ && !octets.empty()) {
    const ssize_t count = ::write(file_.get(), octets.data(), octets.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("write " + file_path_, errno);
    octets = octets.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<> Restoration::end_file(std::string_view) {
  if (file_ && ::fsync(file_.get()) != 0) return fail_errno("sync " + file_path_, errno);
  file_.reset();
  return {};
}

// Folders last, so that one that is not ours any more still lets its files be given.
Result<> Restoration::give_all() const {
  const bool root = ::geteuid() == 0;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    const Tree* tree = tree_of(entry->place);
    const bool folder = entry->kind == Kind::folder;
    const unsigned mode = entry->place == Place::state
                              ? (folder ? 0700U : 0600U)
                              : (entry->mode & (folder ? folder_mode_bits : file_mode_bits)) |
                                    (folder ? 0700U : 0600U);
    FileOwner owner{::geteuid(), ::getegid()};
    if (to_.relay) {
      if (entry->relay_user || entry->place == Place::state) owner.user = to_.relay->user;
      if (entry->relay_group || entry->place == Place::state) owner.group = to_.relay->group;
    }
    if (auto given = tree->give(staged(entry->path), mode, root ? &owner : nullptr); !given)
      return given;
    if (folder) {
      if (auto synced = tree->sync(staged(entry->path)); !synced) return synced;
    }
  }
  return {};
}

// By its path: so as who may do with the directory what he likes anyway, never as root.
Result<storage::PreparedQueue> Restoration::prepare_queue(const Tree& state, bool hold) const {
  if (::geteuid() == 0) {
    const auto top = state.facts("");
    if (!top) return std::unexpected(top.error());
    for (const Entry& entry : entries_) {
      if (entry.place != Place::state) continue;
      const unsigned mode = entry.kind == Kind::folder ? 0700 : 0600;
      if (auto given = state.give(staged(entry.path), mode, &top->owner); !given)
        return std::unexpected(given.error());
    }
    if (auto given = state.give(staging, 0700, &top->owner); !given)
      return std::unexpected(given.error());
  }
  const AsOwner owner(state.path());
  if (owner.failed()) return fail_errno("become the owner of " + state.path(), errno);
  return storage::prepare_restored_queue(state.path_of(staging), hold);
}

Result<storage::PreparedQueue> Restoration::complete(bool hold) {
  storage::PreparedQueue queue;
  const Tree& state = *tree_of(Place::state);
  if (state.holds(staged("queue.db"))) {
    auto prepared = prepare_queue(state, hold);
    if (!prepared) return prepared;
    queue = *prepared;
  }
  if (auto given = give_all(); !given) return std::unexpected(given.error());
  for (const Target& target : targets_) {
    if (auto synced = target.tree.sync(staging); !synced) return std::unexpected(synced.error());
  }
  return queue;
}

Result<> Restoration::move_away(const Target& target, const std::string& name,
                                const std::string& time) const {
  const auto something = is_something(target.tree, name);
  if (!something) return std::unexpected(something.error());
  if (!*something) return target.tree.remove_all(name);  // an empty folder, or nothing
  const std::string folder = "replaced-" + time;
  if (!target.tree.holds(folder)) {
    if (auto made = target.tree.make_folder(folder); !made) return made;
    const auto top = target.tree.facts("");
    if (!top) return std::unexpected(top.error());
    // As its directory, so that whose it is can look at it and take it away.
    if (::geteuid() == 0) {
      if (auto given = target.tree.give(folder, 0700, &top->owner); !given) return given;
    }
  }
  if (auto moved = target.tree.move(name, folder + '/' + name); !moved) return moved;
  return target.tree.sync(folder);
}

std::string Restoration::unused_time(const std::string& time) const {
  std::string name = time;
  const auto used = [&](const Target& target) { return target.tree.holds("replaced-" + name); };
  for (int number = 2; std::ranges::any_of(targets_, used); ++number)
    name = time + '-' + std::to_string(number);
  return name;
}

Result<> Restoration::put_in_place(const std::string& time) {
  for (auto target = targets_.rbegin(); target != targets_.rend(); ++target) {
    const auto names = old_names(*target);
    if (!names) return std::unexpected(names.error());
    for (const std::string& name : *names) {
      if (auto moved = move_away(*target, name, time); !moved) return moved;
      if (auto synced = target->tree.sync(); !synced) return synced;
    }
  }
  for (const Target& target : targets_) {
    const auto tops = tops_.find(target.place);
    if (tops == tops_.end()) continue;
    for (const bool main : {false, true}) {
      for (const std::string& top : tops->second) {
        if ((target.place == Place::configuration && top == main_file) != main) continue;
        if (auto moved = target.tree.move(staged(top), final_name(target.place, top)); !moved)
          return moved;
      }
      if (auto synced = target.tree.sync(); !synced) return synced;
    }
  }
  return {};
}

}  // namespace postern::backup
