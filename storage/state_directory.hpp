// The state directory: ours alone, and used by one daemon at a time.
#pragma once

#include <string>

#include "relay/base/error.hpp"
#include "relay/base/file.hpp"
#include "storage/spool_files.hpp"

namespace postern::storage {

// Makes `path` (0700) where it is missing; refuses one of another user or one that group or others
// can enter; then takes the lock. The lock lives as long as the descriptor and dies with the
// process, so a crash leaves nothing to clean up.
[[nodiscard]] Result<FileDescriptor> claim_state_directory(const std::string& path,
                                                           SpoolFiles& files);

// Only the lock, of a directory that is there and may be another user's: for the operator's
// command, while no daemon runs.
[[nodiscard]] Result<FileDescriptor> lock_state_directory(const std::string& path);

// Makes `path` (0700) where it is missing and syncs its parent, so that it is still there after a
// power cut.
[[nodiscard]] Result<> make_private_directory(const std::string& path, SpoolFiles& files);

}  // namespace postern::storage
