// Files that held a secret, taken off a medium.
//
// Promise: the octets are overwritten in the very blocks that hold them, synced, and only then the
// name goes. Sharp edge: flash may write elsewhere than it is told; what was there before is then
// out of every program's reach, not gone.
#pragma once

#include <functional>
#include <string>

namespace postern::firmware {

// `meanwhile` is called after each MiB: a slow medium takes longer than a watchdog waits.
void shred(const std::string& path, const std::function<void()>& meanwhile = [] {});
// A directory with all that is in it; no link is followed. Sealed mail (*.body) is only removed.
void shred_tree(const std::string& path, const std::function<void()>& meanwhile);

}  // namespace postern::firmware
