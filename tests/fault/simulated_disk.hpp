// A disk in memory that can fail any operation and lose, at a power cut, everything that was not
// synced.
//
// Promise: what a file holds now and what it would hold after a power cut are kept apart. A sync of
// a file makes its octets and its length durable, never its name; a sync of a folder makes the
// names in it durable. A power cut keeps of all other changes whatever the seed chooses: nothing,
// everything, those up to a moment with the last one torn, or each unit of 512 octets or 4 KiB by
// itself, old or new or in between. After a failed sync the cache reads as before, the medium got
// a part, and no later sync writes the rest (so Linux does it). Sharp edge: used by one thread at a
// time; below zero is errno with its sign turned.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "relay/base/bytes.hpp"
#include "tests/fault/seeded_random.hpp"

namespace postern::fault {

enum class Fault : std::uint8_t { io_error, no_space, short_write, failed_sync };
[[nodiscard]] const char* name_of(Fault fault);

// The nth operation that this fault can meet fails, alone or with all after it.
struct FaultPlan {
  Fault fault = Fault::io_error;
  std::uint64_t nth = 1;
  bool lasting = false;
  bool until_room_is_given_back = false;  // a file that is removed ends it
};

// When the power goes: so many changes after the moment.
struct CutPlan {
  enum class After : std::uint8_t { now, first_write_of, first_sync_of } after = After::now;
  std::string path;  // of the file whose first write or sync from now on is meant
  std::uint64_t changes = 0;
};

using FileNumber = std::uint64_t;

class SimulatedDisk {
 public:
  // `root` is a folder that is there and stays.
  SimulatedDisk(std::string root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

  // --- What programs do
  [[nodiscard]] std::int64_t open(const std::string& path);  // a FileNumber
  [[nodiscard]] std::int64_t create(const std::string& path, bool must_be_new);
  [[nodiscard]] std::int64_t read(FileNumber file, std::uint64_t offset,
                                  std::span<std::byte> octets);
  [[nodiscard]] std::int64_t write(FileNumber file, std::uint64_t offset, ByteView octets);
  [[nodiscard]] int truncate(FileNumber file, std::uint64_t bytes);
  [[nodiscard]] int sync(FileNumber file);
  [[nodiscard]] std::int64_t size(FileNumber file);
  [[nodiscard]] std::int64_t size(const std::string& path);
  [[nodiscard]] int make_folder(const std::string& path);
  [[nodiscard]] int rename(const std::string& from, const std::string& to);
  [[nodiscard]] int unlink(const std::string& path);
  [[nodiscard]] int sync_folder(const std::string& path);
  [[nodiscard]] int list(const std::string& path, std::vector<std::string>& names);

  // --- What befalls the disk
  void plan_fault(const FaultPlan& plan);
  void heal() { fault_planned_ = false; }
  [[nodiscard]] bool fault_met() const { return faults_met_ > 0; }
  // While it is set, faults neither strike nor are counted: the examiner reads.
  void suspend_faults(bool suspended) { faults_suspended_ = suspended; }

  void plan_cut(const CutPlan& plan);
  // Nothing reaches the disk any more and nothing is read from it: the process is as good as gone.
  void freeze() { frozen_ = true; }
  [[nodiscard]] bool frozen() const { return frozen_; }
  // The process starts again and finds what the cache holds; the power stayed.
  void thaw();
  // The power comes back, and only what is durable, or reached the medium by chance, is there.
  void power_cut();
  // The hardest for the promise: nothing reached the medium by chance.
  void power_cut_that_keeps_nothing();
  // Counts all changes that were ever made; two lives of one seed end with the same count.
  [[nodiscard]] std::uint64_t moment() const { return moment_; }

  // --- Damage that no power cut does
  void flip_bit(const std::string& path, std::uint64_t offset);
  void lose(const std::string& path);

 private:
  struct Change {
    std::uint64_t moment = 0;
    std::uint64_t offset = 0;  // of a truncation: the new length
    Bytes octets;
    bool truncates = false;
  };
  struct Node {
    bool folder = false;
    Bytes now;
    Bytes durable;
    std::vector<Change> pending;  // since the last sync
  };
  struct NameChange {
    std::uint64_t moment = 0;
    std::string from;  // empty: a new name
    std::string to;    // empty: a name taken away
    FileNumber node = 0;
  };
  // What gives room back meets no full disk.
  enum class Kind : std::uint8_t { look, name, give_back, write, sync };
  // How a cut decides.
  struct Cut {
    enum class Keeps : std::uint8_t {
      nothing,
      everything,
      up_to_moment,
      each_by_itself
    } keeps = Keeps::nothing;
    std::uint64_t moment = 0;
    std::uint64_t percent = 50;
    std::size_t unit_bytes = 512;
    bool garbage = false;  // never written room reads as garbage instead of zeros
  };

  // 0, or what the operation is to fail with; short_write only halves it.
  [[nodiscard]] int meet(Kind kind, bool& halved);
  [[nodiscard]] int meet(Kind kind);
  [[nodiscard]] bool strikes(Kind kind);
  void count_change(bool starts_the_clock);
  [[nodiscard]] bool starts_the_clock(CutPlan::After kind, FileNumber file) const;
  [[nodiscard]] bool folder_is_there(const std::string& path) const;
  [[nodiscard]] Cut choose_cut();
  [[nodiscard]] bool keeps(const Cut& cut, std::uint64_t moment);
  [[nodiscard]] Bytes survivor(const Node& node, const Cut& cut);
  void cut_power(const Cut& cut);
  void cut_names(const Cut& cut);
  static void apply(const NameChange& change, std::map<std::string, FileNumber>& names);
  static void apply(const Change& change, Bytes& octets);

  std::string root_;
  SeededRandom random_;
  std::map<FileNumber, Node> nodes_;
  std::map<std::string, FileNumber> names_;
  std::map<std::string, FileNumber> durable_names_;
  std::vector<NameChange> pending_names_;
  FileNumber next_file_ = 1;
  std::uint64_t moment_ = 0;

  bool fault_planned_ = false;
  bool faults_suspended_ = false;
  FaultPlan fault_;
  std::uint64_t fault_chances_ = 0;
  std::uint64_t faults_met_ = 0;

  bool cut_planned_ = false;
  bool cut_clock_runs_ = false;
  CutPlan cut_;
  bool frozen_ = false;
};

// The folder that holds `path`.
[[nodiscard]] std::string folder_of(const std::string& path);

}  // namespace postern::fault
