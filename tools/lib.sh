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

# A mirror that has gone silent keeps apt waiting for an hour and more: each of its addresses and files is tried in turn.
mirror_seconds_max=300  # one attempt; whole files are kept for the next one, so it is each file that must fit into it
mirror_attempts_max=4   # a slow line has 20 minutes
mirror_kill_seconds=10  # for a command that does not end when it is asked to
mirror_is_silent=124    # what timeout returns when it had to stop its command

# answered WHAT [as_root] COMMAND...: as quietly, for a command that asks a mirror: one without an end is stopped and asked
# again. Only silence is asked again: an error is an answer. Returns $mirror_is_silent when nothing helped.
# Sharp edge: not for a command that may not be stopped midway.
answered() {
  local what=$1 prefix=() attempt status
  shift
  if [ "$1" = as_root ]; then
    prefix=(as_root)
    shift
  fi
  for ((attempt = 1; attempt <= mirror_attempts_max; attempt++)); do
    status=0
    quietly "$what, attempt $attempt of $mirror_attempts_max," \
      "${prefix[@]}" timeout --foreground --kill-after="$mirror_kill_seconds" "$mirror_seconds_max" "$@" || status=$?
    [ "$status" -ne 137 ] || status=$mirror_is_silent  # timeout had to kill it
    [ "$status" -eq "$mirror_is_silent" ] || break
  done
  return "$status"
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
