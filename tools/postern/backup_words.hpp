// The words of `postern backup`, `restore` and `erase` on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "output.hpp"

namespace postern::tools {

// The callbacks put what is to be done into `run`; all three strings must outlive them.
void add_backup_commands(CLI::App& app, const std::string& configuration,
                         std::function<Outcome<>()>& run);

}  // namespace postern::tools
