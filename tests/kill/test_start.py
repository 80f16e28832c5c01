"""The start with 100,000 messages waiting: ready in under two seconds, and the whole queue read."""

import os
import pathlib
import subprocess
import tempfile
import time

import settings
from killable import KillableRelay
from relay import upstream_table
from support import InteropTest

MESSAGES = 100_000


def fill(directory, count):
    build = pathlib.Path(os.environ["POSTERN_BUILD"]).resolve()
    done = subprocess.run([build / "tests/kill/fill_queue", directory, str(count)], capture_output=True,
                          text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise AssertionError(f"fill_queue ended with {done.returncode}: {done.stderr}")


class Start(InteropTest):
    def test_with_100000_messages_it_is_ready_in_two_seconds(self):
        upstream = self.start_upstream()
        relay = KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                              [upstream_table(upstream.port, self.authority.ca_file)])
        self.addCleanup(relay.kill)
        fill(relay.state, MESSAGES)
        begun = time.monotonic()
        ready_seconds = relay.start()
        self.assertLess(ready_seconds, settings.ready_seconds_max)
        # The last in the queue is the only one that is due.
        message = upstream.wait(1)[0]
        read_seconds = time.monotonic() - begun
        self.assertIn(f"Subject: waiting {MESSAGES}\r\n".encode(), message.content)
        settings.say(f"{MESSAGES} messages waiting: ready after {ready_seconds:.2f} s, the queue's last one was "
                     f"delivered after {read_seconds:.2f} s")
        self.assertLess(read_seconds, 2 * settings.ready_seconds_max)
        relay.kill()
        self.assertLess(relay.start(), settings.ready_seconds_max)  # with a log to recover
        relay.stop()
        self.assertEqual(len(upstream.accepted()), 1)
