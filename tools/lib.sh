# Shared by the scripts in tools/ (sourced, never run): where the repository is, how to speak, and how to run a
# command that is quiet as long as it works.
#
# Promise: what is hidden by quietly() is shown whole when the command fails. Nothing here changes the machine.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$repository/build
export repository build

say() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# quietly WHAT COMMAND...: runs the command; its output is shown only when it fails. The exit code is its own.
quietly() {
  local what=$1 output status=0
  shift
  output=$(mktemp)
  "$@" >"$output" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    printf '%s failed (exit code %s): %s\n' "$what" "$status" "$*" >&2
    cat "$output" >&2
  fi
  rm -f "$output"
  return "$status"
}

# as_root COMMAND...: directly as root, through sudo otherwise.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=DEBIAN_FRONTEND,RUNLEVEL "$@"
  else
    fail "installing packages needs root; run it as root or install sudo"
  fi
}

# configure_and_build PRESET [TARGET...]: two compilers at once at most, as each may take a gigabyte.
configure_and_build() {
  local preset=$1 jobs
  shift
  jobs=$(nproc)
  [ "$jobs" -le 4 ] || jobs=4
  (cd "$repository" && quietly "configuring $preset" cmake --preset "$preset") || return 1
  quietly "building $preset" cmake --build "$build/$preset" --parallel "$jobs" ${1:+--target "$@"}
}
