"""What the benchmark reads from the kernel: processor time, memory, sectors written, sync calls.

Promise: everything is summed over whole process trees, children that have ended included; nothing here slows the
measured server down but the memory watch, which reads smaps_rollup now and then, and strace, which has a run of its own.
"""

import os
import pathlib
import re
import subprocess
import threading
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SECTOR_BYTES = 512  # of /sys/block/*/stat, whatever the device's own are
DISK_BYTES = 3 << 30  # a sparse file: only what is written takes room
# Reading a process's smaps_rollup costs up to a millisecond: a tree of a hundred is looked at less often.
WATCH_SECONDS_MIN, WATCH_SECONDS_PER_PROCESS = 0.25, 0.02


def _stat_fields(pid):
    """The fields of /proc/PID/stat behind the name (state is the first), or None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def process_tree(roots):
    """The roots and all their descendants: {pid: fields of stat}."""
    every = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat_fields(name)):
            every[int(name)] = fields
    tree = {pid: every[pid] for pid in roots if pid in every}
    grown = True
    while grown:
        more = {pid: fields for pid, fields in every.items() if pid not in tree and int(fields[1]) in tree}
        tree.update(more)
        grown = bool(more)
    return tree


def processor_seconds(roots):
    """User and system time of the trees, of all threads, and of children that ended and were waited for."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in process_tree(roots).values())
    return ticks / TICKS_PER_SECOND


def proportional_set_bytes(roots):
    """PSS of the trees: pages shared among N processes count 1/N in each."""
    total = 0
    for pid in process_tree(roots):
        try:
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended meanwhile
        if found := re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE):
            total += int(found[1]) * 1024
    return total


class PeakMemory:
    """Watches the trees while the block runs; `bytes` is the largest sum seen."""

    def __init__(self, roots):
        self.bytes = 0
        self._roots = roots
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, proportional_set_bytes(self._roots))

    def _watch(self):
        while not self._done.is_set():
            self.bytes = max(self.bytes, proportional_set_bytes(self._roots))
            self._done.wait(max(WATCH_SECONDS_MIN, WATCH_SECONDS_PER_PROCESS * len(process_tree(self._roots))))


class LoopDisk:
    """An ext4 file system of its own in a file; `written_bytes` counts what reached its device.

    Needs root and loop devices; `open_disk` gives a PlainDirectory where there are none.
    """

    what = "sectors written to an ext4 on a loop device, all synced"

    def __init__(self, directory):
        image = pathlib.Path(directory) / "image"
        self.path = pathlib.Path(directory) / "disk"
        self.path.mkdir()
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        # All tables written now: a file system that still initialises itself would be counted as the server's writing.
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        _run("mount", "-o", "loop,noatime", image, self.path)
        device = _run("findmnt", "-n", "-o", "SOURCE", self.path).strip()
        self._statistics = pathlib.Path("/sys/block") / pathlib.Path(device).name / "stat"

    def written_bytes(self, _roots):
        _run("sync", "-f", self.path)
        return int(self._statistics.read_text().split()[6]) * SECTOR_BYTES

    def close(self):
        for _ in range(20):  # a daemon that is just ending may still have a file open
            if subprocess.run(["umount", self.path], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.25)
        raise RuntimeError(f"{self.path} cannot be unmounted; look who uses it (fuser -vm) and unmount it")


class PlainDirectory:
    """Where there is no loop device: what the processes themselves caused to be written, as /proc/PID/io tells.

    Less than the truth: the file system's own journal is not in it, nor are processes that have ended.
    """

    what = "write_bytes of /proc/PID/io (no loop device here): without the file system's journal"

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "disk"
        self.path.mkdir()

    def written_bytes(self, roots):
        os.sync()
        total = 0
        for pid in process_tree(roots):
            try:
                text = pathlib.Path(f"/proc/{pid}/io").read_text()
            except OSError:
                continue
            total += int(re.search(r"^write_bytes: (\d+)", text, re.MULTILINE)[1])
        return total

    def close(self):
        pass


def open_disk(directory):
    try:
        return LoopDisk(directory)
    except (OSError, RuntimeError) as error:
        print(f"No loop device can be used here ({error}); bytes written are taken from /proc/PID/io.", flush=True)
        os.rmdir(pathlib.Path(directory) / "disk")
        return PlainDirectory(directory)


def strace_prefix(file):
    """Words before a command: counts its sync calls and those of its children into `file`.

    By a seccomp filter, so that every other system call runs at full speed.
    """
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,msync,syncfs,sync",
            "-o", str(file)]


def sync_calls(file):
    """The sum of strace's table: its columns are time, seconds, usecs/call, calls, errors (may be empty), syscall."""
    calls = 0
    for line in pathlib.Path(file).read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[-1] in ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"):
            calls += int(words[3])
    return calls


def _run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
