"""What the interop tests share: a scratch directory, an authority and messages."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import relay as relays
from authority import Authority
from relay import Relay, SENDER, upstream_table
from upstream import Upstream

COMMAND_SECONDS_MAX = 120


class InteropTest(unittest.TestCase):
    """One authority a class; a scratch directory a test, removed when it passed."""

    @classmethod
    def setUpClass(cls):
        # Short: the control socket's path has room for 107 octets.
        cls.class_directory = pathlib.Path(tempfile.mkdtemp(prefix="postern-"))
        cls.addClassCleanup(shutil.rmtree, cls.class_directory, ignore_errors=True)
        cls.authority = Authority(cls.class_directory / "ca")
        cls.certificate, cls.private_key = cls.authority.issue("upstream", ["localhost", "127.0.0.1"])

    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(dir=self.class_directory))

    def start_upstream(self, *faults, certificate=None, private_key=None, **settings):
        upstream = Upstream(tempfile.mkdtemp(dir=self.scratch), certificate or self.certificate,
                            private_key or self.private_key, faults=faults, **settings)
        self.addCleanup(upstream.stop)
        return upstream

    def relay_to(self, upstream, ca_file=None, upstream_keys=None, **settings):
        table = upstream_table(upstream.port, ca_file or self.authority.ca_file, tls=upstream.tls,
                               **(upstream_keys or {}))
        return Relay(tempfile.mkdtemp(dir=self.scratch), self.authority, [table], **settings)

    def run_client(self, *command, text=None, environment=None):
        done = subprocess.run([str(word) for word in command], input=text, capture_output=True, check=False,
                              timeout=COMMAND_SECONDS_MAX, env=environment)
        self.assertEqual(done.returncode, 0, (done.stdout[-3000:] + done.stderr[-3000:]).decode(errors="replace"))
        return done

    def assert_left_in_clear(self, upstream):
        """Nothing but EHLO, STARTTLS and QUIT went out before TLS (RFC 3207)."""
        in_clear = {line.split(" ")[0].upper() for in_tls, line in upstream.commands() if not in_tls}
        self.assertLessEqual(in_clear, {"EHLO", "STARTTLS", "QUIT"}, upstream.commands())

    def assert_no_mail_or_auth(self, upstream):
        said = {line.split(" ")[0].upper() for _, line in upstream.commands()}
        self.assertFalse(said & {"MAIL", "AUTH", "RCPT", "DATA"}, upstream.commands())


def simple_message(subject="scan", body="Hello from the copier.\r\n", sender=SENDER, to="anna@far.example", extra=""):
    return (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{re.sub('[^a-z0-9]', '', subject.lower())}@copier.office.example>\r\n{extra}\r\n{body}")


def body_of(content):
    return content.partition(b"\r\n\r\n")[2]


__all__ = ["InteropTest", "Relay", "SENDER", "body_of", "relays", "simple_message", "upstream_table"]
