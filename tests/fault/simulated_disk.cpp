// The simulated disk's operations and its faults; see simulated_disk.hpp. What a power cut keeps is
// decided in power_cut.cpp.
#include "tests/fault/simulated_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postern::fault {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::io_error:
      return "EIO";
    case Fault::no_space:
      return "ENOSPC";
    case Fault::short_write:
      return "short write";
    case Fault::failed_sync:
      return "failed sync";
  }
  return "?";
}

// --- Faults and the clock of the cut

void SimulatedDisk::plan_fault(const FaultPlan& plan) {
  fault_planned_ = true;
  fault_ = plan;
  fault_chances_ = 0;
  faults_met_ = 0;
}

bool SimulatedDisk::strikes(Kind kind) {
  if (!fault_planned_ || faults_suspended_) return false;
  const bool can_meet =
      fault_.fault == Fault::io_error ||
      (fault_.fault == Fault::failed_sync && kind == Kind::sync) ||
      (fault_.fault == Fault::short_write && kind == Kind::write) ||
      (fault_.fault == Fault::no_space && (kind == Kind::write || kind == Kind::name));
  if (!can_meet) return false;
  ++fault_chances_;
  const bool struck =
      fault_chances_ == fault_.nth || (fault_.lasting && fault_chances_ > fault_.nth);
  if (struck) ++faults_met_;
  return struck;
}

int SimulatedDisk::meet(Kind kind, bool& halved) {
  halved = false;
  if (frozen_) return -EIO;
  if (!strikes(kind)) return 0;
  if (fault_.fault == Fault::no_space) return -ENOSPC;
  if (fault_.fault != Fault::short_write) return -EIO;
  // A disk that takes half of every write for ever would keep writers busy for ever.
  if (faults_met_ > 1) return -ENOSPC;
  halved = true;
  return 0;
}

int SimulatedDisk::meet(Kind kind) {
  bool halved = false;
  return meet(kind, halved);
}

void SimulatedDisk::plan_cut(const CutPlan& plan) {
  cut_planned_ = true;
  cut_ = plan;
  cut_clock_runs_ = plan.after == CutPlan::After::now;
}

bool SimulatedDisk::starts_the_clock(CutPlan::After kind, FileNumber file) const {
  if (!cut_planned_ || cut_clock_runs_ || cut_.after != kind) return false;
  const auto found = names_.find(cut_.path);
  return found != names_.end() && found->second == file;
}

void SimulatedDisk::count_change(bool starts_the_clock) {
  ++moment_;
  if (!cut_planned_) return;
  if (starts_the_clock) cut_clock_runs_ = true;
  if (!cut_clock_runs_) return;
  if (cut_.changes == 0) {
    frozen_ = true;
    cut_planned_ = false;
  } else {
    --cut_.changes;
  }
}

void SimulatedDisk::thaw() {
  frozen_ = false;
  cut_planned_ = false;
}

// --- Files

bool SimulatedDisk::folder_is_there(const std::string& path) const {
  return path == root_ || names_.contains(path);
}

std::int64_t SimulatedDisk::open(const std::string& path) {
  if (const int code = meet(Kind::look); code < 0) return code;
  const auto found = names_.find(path);
  if (found == names_.end()) return -ENOENT;
  return static_cast<std::int64_t>(found->second);
}

std::int64_t SimulatedDisk::create(const std::string& path, bool must_be_new) {
  if (const auto found = names_.find(path); found != names_.end()) {
    if (must_be_new) return -EEXIST;
    return open(path);
  }
  if (!folder_is_there(folder_of(path))) return -ENOENT;
  if (const int code = meet(Kind::name); code < 0) return code;
  const FileNumber file = next_file_++;
  nodes_.emplace(file, Node{});
  names_[path] = file;
  pending_names_.push_back({moment_, "", path, file});
  count_change(false);
  return static_cast<std::int64_t>(file);
}

std::int64_t SimulatedDisk::read(FileNumber file, std::uint64_t offset,
                                 std::span<std::byte> octets) {
  if (const int code = meet(Kind::look); code < 0) return code;
  const Bytes& now = nodes_.at(file).now;
  if (offset >= now.size()) return 0;
  const std::size_t count = std::min(octets.size(), now.size() - offset);
  std::memcpy(octets.data(), now.data() + offset, count);
  return static_cast<std::int64_t>(count);
}

void SimulatedDisk::apply(const Change& change, Bytes& octets) {
  if (change.truncates) {
    octets.resize(change.offset);
    return;
  }
  const std::size_t end = change.offset + change.octets.size();
  if (octets.size() < end) octets.resize(end);
  if (change.octets.empty()) return;
  std::memcpy(octets.data() + change.offset, change.octets.data(), change.octets.size());
}

std::int64_t SimulatedDisk::write(FileNumber file, std::uint64_t offset, ByteView octets) {
  bool halved = false;
  if (const int code = meet(Kind::write, halved); code < 0) return code;
  if (halved) octets = octets.first((octets.size() + 1) / 2);
  Node& node = nodes_.at(file);
  node.pending.push_back({moment_, offset, Bytes(octets.begin(), octets.end()), false});
  apply(node.pending.back(), node.now);
  count_change(starts_the_clock(CutPlan::After::first_write_of, file));
  return static_cast<std::int64_t>(octets.size());
}

int SimulatedDisk::truncate(FileNumber file, std::uint64_t bytes) {
  if (const int code = meet(Kind::give_back); code < 0) return code;
  Node& node = nodes_.at(file);
  node.pending.push_back({moment_, bytes, {}, true});
  apply(node.pending.back(), node.now);
  count_change(false);
  return 0;
}

// The change is counted before it is done: a cut that falls on a sync finds it unfinished.
int SimulatedDisk::sync(FileNumber file) {
  Node& node = nodes_.at(file);
  if (const int code = meet(Kind::sync); code < 0) {
    if (!frozen_) {
      node.durable = survivor(node, choose_cut());
      node.pending.clear();
    }
    return code;
  }
  count_change(starts_the_clock(CutPlan::After::first_sync_of, file));
  if (frozen_) return -EIO;
  for (const Change& change : node.pending) apply(change, node.durable);
  node.durable.resize(node.now.size());
  node.pending.clear();
  return 0;
}

std::int64_t SimulatedDisk::size(FileNumber file) {
  if (const int code = meet(Kind::look); code < 0) return code;
  return static_cast<std::int64_t>(nodes_.at(file).now.size());
}

std::int64_t SimulatedDisk::size(const std::string& path) {
  if (const int code = meet(Kind::look); code < 0) return code;
  const auto found = names_.find(path);
  if (found == names_.end()) return -ENOENT;
  const Node& node = nodes_.at(found->second);
  return node.folder ? -EINVAL : static_cast<std::int64_t>(node.now.size());
}

// --- Names

void SimulatedDisk::apply(const NameChange& change, std::map<std::string, FileNumber>& names) {
  if (change.from.empty()) {
    names[change.to] = change.node;
    return;
  }
  const auto found = names.find(change.from);
  if (found == names.end() || found->second != change.node) return;
  names.erase(found);
  if (!change.to.empty()) names[change.to] = change.node;
}

int SimulatedDisk::make_folder(const std::string& path) {
  if (names_.contains(path)) return -EEXIST;
  const std::int64_t made = create(path, true);
  if (made < 0) return static_cast<int>(made);
  nodes_.at(static_cast<FileNumber>(made)).folder = true;
  return 0;
}

int SimulatedDisk::rename(const std::string& from, const std::string& to) {
  const auto found = names_.find(from);
  if (found == names_.end()) return -ENOENT;
  if (const int code = meet(Kind::name); code < 0) return code;
  pending_names_.push_back({moment_, from, to, found->second});
  apply(pending_names_.back(), names_);
  count_change(false);
  return 0;
}

int SimulatedDisk::unlink(const std::string& path) {
  const auto found = names_.find(path);
  if (found == names_.end()) return frozen_ ? -EIO : -ENOENT;
  if (const int code = meet(Kind::give_back); code < 0) return code;
  if (fault_.until_room_is_given_back && faults_met_ > 0) fault_planned_ = false;
  pending_names_.push_back({moment_, path, "", found->second});
  apply(pending_names_.back(), names_);
  count_change(false);
  return 0;
}

int SimulatedDisk::sync_folder(const std::string& path) {
  if (!folder_is_there(path)) return frozen_ ? -EIO : -ENOENT;
  if (const int code = meet(Kind::sync); code < 0) return code;
  count_change(false);
  if (frozen_) return -EIO;
  std::erase_if(pending_names_, [&](const NameChange& change) {
    if (folder_of(change.from.empty() ? change.to : change.from) != path) return false;
    apply(change, durable_names_);
    return true;
  });
  return 0;
}

int SimulatedDisk::list(const std::string& path, std::vector<std::string>& names) {
  if (const int code = meet(Kind::look); code < 0) return code;
  if (!folder_is_there(path)) return -ENOENT;
  for (const auto& [name, file] : names_) {
    if (folder_of(name) == path) names.push_back(name.substr(path.size() + 1));
  }
  return 0;
}

// --- Damage

void SimulatedDisk::flip_bit(const std::string& path, std::uint64_t offset) {
  Node& node = nodes_.at(names_.at(path));
  node.now.at(offset) ^= std::byte{1};
  node.durable.at(offset) ^= std::byte{1};
}

void SimulatedDisk::lose(const std::string& path) {
  names_.erase(path);
  durable_names_.erase(path);
}

}  // namespace postern::fault
