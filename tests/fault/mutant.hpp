// The mistakes that the rig must be able to see. None is a switch of the product: the simulated
// disk swallows what the mistaken code would not do, and the rig's client believes what it must
// not.
#pragma once

#include <cstdint>

namespace postern::fault {

enum class Mutant : std::uint8_t {
  none,
  synchronous_normal,     // SQLite syncs the log at a checkpoint, and not at a commit
  synchronous_off,        // SQLite syncs nothing
  spool_file_unsynced,    // a spool file gets its name without a sync
  spool_folder_unsynced,  // the row is committed without a sync of the spool folder
  log_not_renewed,        // the start trusts a log that a failed sync left behind
  answer_before_commit,   // the client counts a message as acknowledged before COMMIT
  failed_commit_ignored,  // the client counts it although COMMIT failed
};

}  // namespace postern::fault
