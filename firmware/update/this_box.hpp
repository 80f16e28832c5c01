// Where an update goes on the machine that this program runs on.
//
// Promise: a machine that did not start from one of the image's slots is told apart
// (ErrorKind::unsupported), so that nothing of it is touched.
#pragma once

#include <string>

#include "firmware/init/slots.hpp"
#include "firmware/update/installer.hpp"

namespace postern::firmware {

// Where a box has what is asked for here; a test has it elsewhere.
struct BoxPlaces {
  std::string release_key = "/etc/postern-release.pub";
  std::string floor = floor_file;
  std::string sys = "/sys";
  std::string kernels_directory = "/run/efi/EFI/Linux";
};

// `command_line`: the kernel's (/proc/cmdline).
[[nodiscard]] Result<InstallTarget> this_box(const std::string& command_line,
                                             const BoxPlaces& places = {});

}  // namespace postern::firmware
