# Shared by the scripts in firmware/ (sourced, never run): where things are, and the source as it is built.
#
# Promise: what git ignores is never part of a build. Nothing here changes the machine.
# shellcheck shell=bash

# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

firmware=$repository/firmware
export firmware

# stage_source DIRECTORY: the product's source without tests, into a new directory.
stage_source() {
  local target=$1
  rm -rf "$target"
  mkdir -p "$target"
  (cd "$repository" && git ls-files -z --cached --others --exclude-standard -- \
    CMakeLists.txt README.md LICENSE relay crypto storage tools firmware |
    while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done |
    LC_ALL=C sort -z | tar --null --files-from=- --create --file=-) | tar -x -C "$target"
}

# The moment of the last commit: every date in a package or an image is this one.
source_date() { git -C "$repository" log -1 --format=%ct; }
