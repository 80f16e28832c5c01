// Installs an update into the slot that does not run.
//
// Promise: nothing is written before the signature, the architecture, the date, every hash and,
// where what runs is signed for Secure Boot, that this is too were checked. The order survives a
// loss of power anywhere: the other slot's kernel image goes first, then the root is written, then
// the kernel image, with three tries in its name and without its front, so that the boot loader
// does not see it; both are read back, and only then one write puts the front there. Not a
// renaming: halved by a power cut, FAT has two names for one content. The slot that runs is never
// touched.
#pragma once

#include <cstdint>
#include <string>

#include "relay/base/error.hpp"

namespace postern::firmware {

struct InstallTarget {
  std::string public_key;         // minisign's text
  std::string architecture;       // of this box
  std::int64_t built_after = 0;   // the update's date must be later
  char slot = 'b';                // the one that does not run
  std::string root_device;        // of that slot
  std::string kernels_directory;  // EFI/Linux on the EFI partition
};

// The update's version.
[[nodiscard]] Result<std::string> install_update(const std::string& file,
                                                 const InstallTarget& target);

}  // namespace postern::firmware
