// What the simulated disk holds after a power cut; see simulated_disk.hpp.
#include <algorithm>

#include "tests/fault/simulated_disk.hpp"

namespace postern::fault {

SimulatedDisk::Cut SimulatedDisk::choose_cut() {
  Cut cut;
  switch (random_.below(8)) {
    case 0:
    case 1:
      cut.keeps = Cut::Keeps::nothing;
      break;
    case 2:
      cut.keeps = Cut::Keeps::everything;
      break;
    case 3:
    case 4:
      cut.keeps = Cut::Keeps::up_to_moment;
      break;
    default:
      cut.keeps = Cut::Keeps::each_by_itself;
  }
  // Most of what is unsynced is of the last few moments.
  const std::uint64_t back = random_.one_in(2) ? random_.below(20) : random_.below(400);
  cut.moment = moment_ > back ? moment_ - back : 0;
  constexpr std::uint64_t percents[] = {5, 50, 95};
  cut.percent = percents[random_.below(3)];
  cut.unit_bytes = random_.one_in(2) ? 512 : 4096;
  cut.garbage = random_.one_in(2);
  return cut;
}

bool SimulatedDisk::keeps(const Cut& cut, std::uint64_t moment) {
  switch (cut.keeps) {
    case Cut::Keeps::nothing:
      return false;
    case Cut::Keeps::everything:
      return true;
    case Cut::Keeps::up_to_moment:
      return moment == cut.moment ? random_.one_in(2) : moment < cut.moment;
    case Cut::Keeps::each_by_itself:
      return random_.below(100) < cut.percent;
  }
  return false;
}

// Each unit keeps of the writes that met it the first few, in their order: a unit is written as a
// whole, and of several versions of it any may be the last to arrive.
Bytes SimulatedDisk::survivor(const Node& node, const Cut& cut) {
  Bytes octets = node.durable;
  std::size_t bytes = octets.size();
  std::size_t bytes_now = bytes;
  std::size_t bytes_max = bytes;
  bool length_settled = false;
  for (const Change& change : node.pending) {
    bytes_now = change.truncates
                    ? change.offset
                    : std::max<std::size_t>(bytes_now, change.offset + change.octets.size());
    bytes_max = std::max(bytes_max, bytes_now);
    if (!length_settled && keeps(cut, change.moment)) {
      bytes = bytes_now;
    } else {
      length_settled = true;
    }
  }
  octets.resize(bytes_max);
  if (cut.garbage) {
    for (std::size_t at = node.durable.size(); at < bytes_max; ++at) {
      octets[at] = static_cast<std::byte>(random_.number());
    }
  }
  std::vector<bool> settled(bytes_max / cut.unit_bytes + 1);
  for (const Change& change : node.pending) {
    std::size_t done = 0;
    while (done < change.octets.size()) {
      const std::size_t at = change.offset + done;
      const std::size_t unit = at / cut.unit_bytes;
      const std::size_t count =
          std::min(change.octets.size() - done, (unit + 1) * cut.unit_bytes - at);
      if (!settled[unit] && keeps(cut, change.moment)) {
        std::copy_n(change.octets.begin() + static_cast<std::ptrdiff_t>(done), count,
                    octets.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        settled[unit] = true;
      }
      done += count;
    }
  }
  octets.resize(bytes);
  return octets;
}

void SimulatedDisk::cut_names(const Cut& cut) {
  for (const NameChange& change : pending_names_) {
    if (keeps(cut, change.moment)) apply(change, durable_names_);
  }
  pending_names_.clear();
  // Names sort after the name of their folder, so that a lost folder takes all below with it.
  for (auto at = durable_names_.begin(); at != durable_names_.end();) {
    const std::string folder = folder_of(at->first);
    const bool there = folder == root_ || durable_names_.contains(folder);
    at = there ? std::next(at) : durable_names_.erase(at);
  }
  names_ = durable_names_;
}

void SimulatedDisk::power_cut() { cut_power(choose_cut()); }

void SimulatedDisk::power_cut_that_keeps_nothing() { cut_power(Cut{}); }

void SimulatedDisk::cut_power(const Cut& cut) {
  for (auto& [number, node] : nodes_) {
    if (!node.pending.empty()) node.durable = survivor(node, cut);
    node.pending.clear();
    node.now = node.durable;
  }
  cut_names(cut);
  std::erase_if(nodes_, [this](const auto& entry) {
    return std::ranges::none_of(names_,
                                [&](const auto& name) { return name.second == entry.first; });
  });
  thaw();
}

}  // namespace postern::fault
