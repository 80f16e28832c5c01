"""A relay that is killed, at any moment or at a named point of its work.

A named point is the nth call of one system call, in one thread, perhaps on one file: strace ends the process at the
moment it enters that call, so that the call before it is done and this one is not. Nothing in the product knows of it.
"""

import dataclasses
import pathlib
import subprocess
import time

from relay import Relay, START_SECONDS_MAX, program


@dataclasses.dataclass(frozen=True)
class Point:
    """`calls`: the range from which n is drawn; `file`: below the state directory, empty for any."""
    name: str
    call: str
    calls: tuple
    file: str = ""


# Calls are counted by thread: the opening of an existing queue makes two or three syncs in the main thread, all others
# are the storage thread's.
POINTS = (
    Point("at the start, before a sync", "fsync", (1, 2)),
    Point("at the start, writing the log again", "pwrite64", (1, 1)),
    Point("before a body's sync", "fsync", (1, 1), "spool/1.partial"),
    Point("before a body gets its name", "rename", (1, 2)),
    Point("after the name, before the folder's sync", "fsync", (1, 2), "spool"),
    Point("within the log's writes", "pwrite64", (2, 120), "queue.db-wal"),
    Point("before the commit's sync", "fdatasync", (1, 4), "queue.db-wal"),
    Point("after a commit, or in a reply", "write", (30, 300)),
    Point("before a delivered body is removed", "unlink", (1, 3)),
)
# These are met only where the log has grown to what is copied back.
CHECKPOINT_POINTS = (
    Point("while the log is copied back", "pwrite64", (1, 60), "queue.db"),
    Point("before the copy's sync", "fdatasync", (1, 1), "queue.db"),
)
LOG_PAGES_COPIED_BACK = 2_000  # storage/database.hpp, checkpoint_pages_min


def log_pages(log):
    """Of the log as it stands: https://www.sqlite.org/fileformat2.html, section 4."""
    octets = log.read_bytes() if log.exists() else b""
    frame_bytes = 24 + int.from_bytes(octets[8:12], "big")
    salts, pages = octets[16:24], 0
    while salts and octets[40 + pages * frame_bytes:48 + pages * frame_bytes] == salts:
        pages += 1
    return pages


class KillableRelay(Relay):
    _holder = None  # keeps a namespace of file systems

    @property
    def state(self):
        return self.directory / "state"

    def mount(self, commands):
        """Shell commands that change the file systems as only this relay sees them, from its next start on."""
        self._holder = subprocess.Popen(["unshare", "--map-root-user", "--mount", "sh", "-ec",
                                         commands + "\necho mounted\nexec sleep 1000"], stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b"mounted\n":
            raise AssertionError(f"these mounts do not work here: {commands}")

    def unmount(self):
        if self._holder:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    def seen_by_relay(self, path):
        return pathlib.Path(f"/proc/{self._holder.pid}/root{path}")

    def ended(self, seconds_max):
        """The exit code of a relay that ends by itself."""
        return self._process.wait(seconds_max)

    def start(self, point=None, nth=1):
        """The seconds until it was ready; None when it died before, as it may only at a named point."""
        with open(self._log_path, "ab") as log:
            offset = log.tell()
            begun = time.monotonic()
            self._process = subprocess.Popen(self._command(point, nth), stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log)
        with open(self._log_path, "rb") as log:
            log.seek(offset)
            said = b""
            while b"event=started" not in said:
                if self._process.poll() is not None:
                    if point and self._process.returncode == -9:
                        return None
                    raise AssertionError(f"posternd ended with {self._process.returncode} at its start:\n"
                                         f"{self.log()[-3000:]}")
                if time.monotonic() - begun > START_SECONDS_MAX:
                    raise AssertionError(f"posternd is not ready:\n{self.log()[-3000:]}")
                time.sleep(0.005)
                said += log.read()
        return time.monotonic() - begun

    def refuses_to_start(self):
        """(exit code, what it said) of a relay that should end by itself."""
        done = subprocess.run(self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=START_SECONDS_MAX)
        return done.returncode, done.stdout.decode(errors="replace")

    def _command(self, point=None, nth=1):
        command = [program("posternd"), "--config", str(self.configuration)]
        if point:
            command = self._strace(point, nth) + command
        if self._holder:
            command = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(self._holder.pid),
                       *command]
        return command

    def _strace(self, point, nth):
        path = ["-P", str(self.state / point.file)] if point.file else []
        # -D: the relay is our child and strace its companion, so that the relay can be killed and waited for.
        return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", *path, "-e", f"trace={point.call}",
                "-e", f"inject={point.call}:signal=KILL:when={nth}"]

    def died_within(self, seconds):
        """Whether it died by itself; any other end than by SIGKILL is a failure."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if status != -9:
            raise AssertionError(f"posternd ended with {status}:\n{self.log()[-6000:]}")
        return True
