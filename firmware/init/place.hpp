// Where a person leaves something for the box and finds what it says: the EFI partition or a USB
// stick, mounted as vfat. Sharp edge: a stick may be pulled at any moment, and anybody made it.
#pragma once

#include <string>

namespace postern::firmware {

struct Place {
  std::string path;  // where it is mounted
  std::string name;  // "the USB stick", for sentences
  bool stick = false;
  bool plugged_in = false;  // the stick came while the box ran: somebody wants something of it
};

inline constexpr char problems_file[] = "POSTERN-PROBLEMS.TXT";
// Why something on it was refused, beside it.
void leave_problems(const Place& place, const std::string& problems);

}  // namespace postern::firmware
