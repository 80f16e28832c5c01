// What only a box made of the image has: updates into its other slot, and their story in `postern
// status`.
//
// Promise: on a machine that is no box `postern update` says what to do there and touches nothing,
// and `postern status` shows nothing more.
#pragma once

#include <string>

#include "output.hpp"

namespace postern::tools {

// Streamed and verified before anything is written; see firmware/update/installer.hpp.
[[nodiscard]] Outcome<> install_update(const std::string& file);

// The fixed address of [network], in the lines that the box's supervisor reads.
[[nodiscard]] Outcome<> show_network(const std::string& configuration_path);

// Adds the running slot and what became of the last update; to a failure too, because an update
// whose relay does not answer is what a person looks for here.
void tell_box(Report& report);
[[nodiscard]] Failure with_box(Failure failure);

}  // namespace postern::tools
