// Files that held a secret, taken off a medium.
//
// Promise: the octets are overwritten in the very blocks that hold them, synced, and only then the
// name goes. Sharp edge: flash may write elsewhere than it is told; what was there before is then
// out of every program's reach, not gone.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace postern::firmware {

struct Shredding {
  // Called at each name and each MiB: a slow medium takes longer than a watchdog waits.
  std::function<void()> meanwhile = [] {};
  std::vector<std::string> failed{};  // sentences, also said on the console
};

void shred(const std::string& path, Shredding& shredding);
void shred(const std::string& path);
// A directory with all that is in it; no link is followed. Sealed mail (*.body) is only removed.
void shred_tree(const std::string& path, Shredding& shredding);
// The files of this name beneath a directory.
void shred_named(const std::string& path, const std::string& name, Shredding& shredding);

}  // namespace postern::firmware
