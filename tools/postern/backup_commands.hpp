// `postern backup` and `postern restore`: one sealed file with configuration, users, keys and
// queue.
//
// Promise: a backup is said to be good only after it was read back from its medium and every hash
// was right; a restore changes nothing before it has read the whole file and opened the queue in
// it. Sharp edge: the queue of a running relay is copied by the relay itself; that of one that does
// not run by this command, under the state directory's lock.
#pragma once

#include <optional>
#include <string>

#include "output.hpp"
#include "password_input.hpp"

namespace postern::tools {

struct BackupOrder {
  std::string file;
  PassphraseOrder passphrase;
  std::optional<std::string> authority;  // the directory of one that stands elsewhere
  bool replace = false;                  // restore: move what is there away
  bool hold = false;                     // restore: nothing of the queue is sent until released
};
[[nodiscard]] Outcome<> make_backup(const std::string& configuration_path,
                                    const BackupOrder& order);
[[nodiscard]] Outcome<> restore_backup(const std::string& configuration_path,
                                       const BackupOrder& order);

}  // namespace postern::tools
