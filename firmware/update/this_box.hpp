// Where an update goes on the machine that this program runs on.
//
// Promise: a machine that did not start from one of the image's slots is told apart
// (ErrorKind::unsupported), so that nothing of it is touched.
#pragma once

#include <string>

#include "firmware/update/installer.hpp"

namespace postern::firmware {

// `command_line`: the kernel's (/proc/cmdline).
[[nodiscard]] Result<InstallTarget> this_box(const std::string& command_line);

}  // namespace postern::firmware
