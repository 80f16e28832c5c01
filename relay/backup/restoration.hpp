// Putting back what a backup holds.
//
// Promise: everything is unpacked beside what it will replace (`.restore` in each directory),
// synced, and the queue in it opened and checked, before put_in_place() touches the first old file;
// what was not put in place is removed. The configuration's main file goes first and comes last: a
// relay cannot start in between, and after a power cut the command can be run again. Nothing old is
// overwritten: it moves into `replaced-<time>` in its directory. Sharp edge: the caller holds the
// state directory's lock.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "relay/backup/archive.hpp"
#include "relay/backup/tree.hpp"
#include "relay/base/error.hpp"
#include "storage/snapshot.hpp"

namespace postern::backup {

// What stands in a configuration's directory, when somebody brings or makes it.
inline constexpr std::array<const char*, 5> configuration_folders = {"credentials", "dkim",
                                                                     "secrets", "tls", "users.d"};

// What storage makes in a state directory, beside its lock and reserve: nothing else there is ours,
// should the name of another directory stand in a configuration.
[[nodiscard]] bool is_queue_file(std::string_view name);

// The first look at a backup, which writes nothing.
class Survey final : public ArchiveSink {
 public:
  [[nodiscard]] Result<> begin(const Entry& entry) override;
  [[nodiscard]] Result<> content(ByteView octets) override;
  [[nodiscard]] Result<> end_file(std::string_view hash) override;

  [[nodiscard]] const std::string& about() const { return about_; }
  [[nodiscard]] const std::optional<std::string>& main_text() const { return main_text_; }
  [[nodiscard]] bool has_authority() const { return has_authority_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // A queue without its key, or half of another pair, helps nobody.
  [[nodiscard]] Result<> check() const;

 private:
  std::string about_;
  std::optional<std::string> main_text_;
  std::string* kept_ = nullptr;  // what the content goes to
  bool has_authority_ = false, has_queue_ = false, has_queue_key_ = false;
  std::uint64_t bytes_ = 0;
};

struct Destination {
  std::string configuration_directory;
  std::string main_name;  // the main file's there
  std::string state_directory;
  std::string authority_directory;  // empty: there is none in the backup
  std::optional<FileOwner> relay;   // nothing: everything stays with who runs this
};

class Restoration final : public ArchiveSink {
 public:
  // The directories must be there.
  [[nodiscard]] static Result<std::unique_ptr<Restoration>> begin(const Destination& to);
  Restoration(const Restoration&) = delete;
  Restoration& operator=(const Restoration&) = delete;
  ~Restoration() override;  // removes what was not put in place

  // The names of what is in the way, with their directories; only their absence is "new".
  [[nodiscard]] Result<std::vector<std::string>> in_the_way() const;

  // The second pass over the file.
  [[nodiscard]] Result<> begin(const Entry& entry) override;
  [[nodiscard]] Result<> content(ByteView octets) override;
  [[nodiscard]] Result<> end_file(std::string_view hash) override;

  // After it: everything synced and given to its owner, the queue checked.
  [[nodiscard]] Result<storage::PreparedQueue> complete(bool hold);
  // A name for the folder of what is in the way that no directory has yet.
  [[nodiscard]] std::string unused_time(const std::string& time) const;
  [[nodiscard]] Result<> put_in_place(const std::string& time);

 private:
  struct Target {
    Place place;
    Tree tree;
  };
  explicit Restoration(const Destination& to) : to_(to) {}
  [[nodiscard]] const Tree* tree_of(Place place) const;
  [[nodiscard]] Result<std::vector<std::string>> old_names(const Target& target) const;
  [[nodiscard]] std::string final_name(Place place, const std::string& top) const;
  [[nodiscard]] Result<> move_away(const Target& target, const std::string& name,
                                   const std::string& time) const;
  [[nodiscard]] Result<> give_all() const;
  [[nodiscard]] Result<storage::PreparedQueue> prepare_queue(const Tree& state, bool hold) const;

  Destination to_;
  std::vector<Target> targets_;  // state, authority, configuration: in the order they are placed
  std::map<Place, std::set<std::string>> tops_;  // of what is unpacked
  std::vector<Entry> entries_;
  FileDescriptor file_;
  std::string file_path_;
};

}  // namespace postern::backup
