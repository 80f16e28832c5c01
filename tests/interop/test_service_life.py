"""The daemon as a whole: what stops its start, and what a reload can and cannot change while it runs."""

import contextlib
import ctypes
import datetime
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
import unittest.mock

from relay import OWNER, program
from support import InteropTest, simple_message

START_SECONDS_MAX = 60
PTRACE_ATTACH, PTRACE_DETACH = 16, 17  # sys/ptrace.h
WALL = 0x40000000                      # sys/wait.h, __WALL: for a thread that is not our child


class ServiceLife(InteropTest):
    def fail_to_start(self, relay):
        """Runs a second daemon that must end by itself; gives what it said."""
        done = subprocess.run([program("posternd"), "--config", relay.configuration], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=START_SECONDS_MAX, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_a_second_daemon_on_the_same_ports_does_not_start(self):
        # Ports that several loops share could be shared with another daemon too, which got half of the clients.
        upstream = self.start_upstream()
        with self.relay_to(upstream) as first:
            second = self.relay_to(upstream)
            second.text = second.text.replace(str(second.starttls_port), str(first.starttls_port))
            second.configuration.write_text(second.text)
            said = self.fail_to_start(second)
            self.assertIn(f"listen on 127.0.0.1:{first.starttls_port}: port in use by another program", said)

    def test_the_directory_of_the_control_socket_is_made(self):
        relay = self.relay_to(self.start_upstream())
        relay.text = relay.text.replace('control_socket = "control"', 'control_socket = "run/control"')
        relay.configuration.write_text(relay.text)
        with relay:
            self.assertEqual(json.loads(relay.postern("--json", "status").stdout)["restart_needed"], [])

    def test_a_relay_at_another_control_socket_is_not_taken_for_stopped(self):
        """Else a user who was removed would be called gone while the relay still admits them."""
        with self.relay_to(self.start_upstream()) as relay:
            relay.configuration.write_text(relay.text.replace('control_socket = "control"', 'control_socket = "other"'))
            for words in (("user", "add", "copier-3", "--from", "c3@office.example", "--owner", OWNER), ("reload",), ("status",)):
                done = relay.postern(*words, check=False)
                self.assertEqual(done.returncode, 1, words)
                self.assertRegex(done.stderr, "a relay has the queue in .*/state, but does not listen at .*/other\n")
            self.assertNotIn("not running", done.stdout)
            relay.configuration.write_text(relay.text)
        self.assertIn("is not running", relay.postern("user", "remove", "copier-3").stdout)

    def test_a_directory_of_the_control_socket_that_cannot_be_made_is_one_clear_sentence(self):
        relay = self.relay_to(self.start_upstream())
        relay.text = relay.text.replace('control_socket = "control"', 'control_socket = "no/such/control"')
        relay.configuration.write_text(relay.text)
        self.assertIn("no/such does not exist and cannot be made", self.fail_to_start(relay))

    def test_the_supervisors_watchdog_is_fed_once_the_relay_is_ready(self):
        relay = self.relay_to(self.start_upstream())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(str(relay.directory / "notify"))
            supervisor.settimeout(START_SECONDS_MAX)
            variables = {"NOTIFY_SOCKET": str(relay.directory / "notify"), "WATCHDOG_USEC": "2000000"}
            with unittest.mock.patch.dict(os.environ, variables), relay:
                said = [supervisor.recv(256) for _ in range(4)]
            self.assertEqual(said, [b"READY=1"] + 3 * [b"WATCHDOG=1"])

    def test_what_waits_for_a_restart_is_not_forgotten(self):
        def restart_needed():
            return json.loads(relay.postern("--json", "status").stdout)["restart_needed"]

        with self.relay_to(self.start_upstream()) as relay:
            before = relay.text
            relay.configuration.write_text(before.replace('state_directory = "state"', 'state_directory = "other"')
                                           .replace('tls = "implicit"', 'tls = "starttls"'))
            relay.postern("reload")
            self.assertEqual(restart_needed(), ["state_directory", "listener"])
            relay.postern("reload")
            self.assertEqual(restart_needed(), ["state_directory", "listener"])
            relay.configuration.write_text(before)
            relay.postern("reload")
            self.assertEqual(restart_needed(), [])

    def test_a_person_is_told_of_a_message_whose_rows_are_damaged_or_gone(self):
        # As flipped bits would leave them.
        for damage in ("UPDATE recipient SET state = 9", "DELETE FROM message", "DELETE FROM content"):
            with self.subTest(damage):
                self.assert_told_of(damage)

    def assert_told_of(self, damage):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            relay.wait_for_queue(bool, "a message")
            relay.stop()
            [database] = (relay.directory / "state").glob("*.db")
            with contextlib.closing(sqlite3.connect(database)) as queue, queue:
                queue.execute("PRAGMA ignore_check_constraints = ON")
                queue.execute(damage)
            upstream.faults.clear()
            relay.start()
            [report] = upstream.wait(1)
            self.assertIn(f"To: <{OWNER}>".encode(), report.content)
            self.assertIn(b"cannot read the mail", report.content)
            relay.stop()
            relay.start()
            relay.wait_for_queue(lambda queue: all(each["quarantined"] for each in queue), "nothing but what is damaged")
            self.assertEqual(len(upstream.accepted()), 1, "told once, not at every start")

    def test_an_own_certificate_that_ends_soon_is_a_warning(self):
        with self.relay_to(self.start_upstream()) as relay:  # its certificate is made for two days
            self.assertIn("event=certificate-expires ", relay.log())
            expires = json.loads(relay.postern("--json", "status").stdout)["certificate_expires"]
            left = datetime.datetime.fromisoformat(expires) - datetime.datetime.now(datetime.timezone.utc)
            self.assertTrue(datetime.timedelta(days=1) < left <= datetime.timedelta(days=2), expires)
            certificate, key = self.authority.issue("long", ["localhost"], days=60)
            relay.configuration.write_text(re.sub(r'(private_key_file = )".*"', rf'\1"{key}"', re.sub(
                r'(certificate_file = )".*"', rf'\1"{certificate}"', relay.text)))
            begun = len(relay.log())
            relay.postern("reload")
            self.assertNotIn("event=certificate-expires", relay.log()[begun:])


@contextlib.contextmanager
def stalled(thread):
    """One thread of a child of ours stands still."""
    library = ctypes.CDLL(None, use_errno=True)

    def trace(request):
        if library.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request} of thread {thread}")

    trace(PTRACE_ATTACH)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        trace(PTRACE_DETACH)


class AStalledThread(InteropTest):
    """Not with the thread sanitizer, which has a thread of its own that feeds nothing."""

    def test_whichever_it_is_the_supervisors_watchdog_is_fed_no_more(self):
        relay = self.relay_to(self.start_upstream())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(str(relay.directory / "notify"))
            variables = {"NOTIFY_SOCKET": str(relay.directory / "notify"), "WATCHDOG_USEC": "1000000"}  # fed four times a second
            with unittest.mock.patch.dict(os.environ, variables), relay:
                threads = [int(name) for name in os.listdir(f"/proc/{relay.pid}/task")]
                self.assertGreaterEqual(len(threads), 4, "the first, storage, delivery, workers")
                for thread in threads:
                    supervisor.settimeout(START_SECONDS_MAX)
                    self.wait_for_food(supervisor)
                    with stalled(thread):
                        self.assertTrue(self.falls_silent(supervisor), f"thread {threads.index(thread)} of {len(threads)}")

    @staticmethod
    def wait_for_food(supervisor):
        while supervisor.recv(256) != b"WATCHDOG=1":
            pass

    @staticmethod
    def falls_silent(supervisor):
        """What was answered before may be told yet."""
        supervisor.settimeout(1.5)
        deadline = time.monotonic() + 10
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < deadline:
                supervisor.recv(256)
            return False
        return True
