"""What the tests of the image share: a scratch directory a class, an upstream, a configuration to drop, a device that submits.

The upstream and the device run on this machine: the guest reaches the one at 10.0.2.2, the other reaches the guest by a
forwarded port.
"""

import os
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

import relay as relays
import verifiers
from authority import Authority
from machine import Disk, Machine
from support import simple_message
from upstream import Upstream

HOST_ADDRESS = "10.0.2.2"  # of this machine, as the guest sees it
UPSTREAM_PASSWORD = "a password that only the provider knows"
HOSTNAME = "relay.office.example"
FIGURES = []  # (what, value) for the runner


def figure(what, value):
    FIGURES.append((what, value))


def image():
    return pathlib.Path(os.environ["POSTERN_IMAGE"])


def host_program(name):
    """A program of the image: static, so it runs here too."""
    return pathlib.Path(os.environ["POSTERN_PROGRAMS"]) / f"stripped-{name}"


class BoxTest(unittest.TestCase):
    kind = "amd64"  # of the machine, machine.EMULATORS
    upstream_address = HOST_ADDRESS  # as the guest sees it

    def figure(self, what, value):
        figure(what if self.kind == "amd64" else f"{self.kind}: {what}", value)

    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="postern-box-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)

    @classmethod
    def new_disk(cls, megabytes=None, name="disk"):
        return Disk(image(), cls.scratch / f"{name}.img", megabytes)

    @classmethod
    def start_machine(cls, disk, **settings):
        machine = Machine(disk, **{"kind": cls.kind, **settings})
        machine.start()
        cls.addClassCleanup(machine.pull_the_plug)
        return machine

    @classmethod
    def start_upstream(cls):
        cls.authority = Authority(cls.scratch / "ca")
        certificate, key = cls.authority.issue("upstream", [cls.upstream_address])
        upstream = Upstream(cls.scratch / "upstream", certificate, key, password=UPSTREAM_PASSWORD,
                            address="::1" if ":" in cls.upstream_address else "127.0.0.1")
        cls.addClassCleanup(upstream.stop)
        return upstream

    @classmethod
    def start_time_server(cls):
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        server = None

        def ready():  # another class of tests may have the port
            nonlocal server
            server = subprocess.Popen([*as_root, sys.executable, pathlib.Path(__file__).with_name("time_server.py")],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            told = ""
            for line in server.stdout:
                if line.strip() == "ready":
                    return True
                told += line
            if "Address already in use" not in told:
                raise AssertionError(f"the time server does not start: {told}")
            server.stdout.close()
            server.wait()
            return False

        Machine.wait_until(ready, "port 123 of 127.0.0.1 is free")
        cls.addClassCleanup(server.stdout.close)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.terminate)

    @classmethod
    def configuration_text(cls, upstream, extra="", tls_files=True):
        files = ["[tls]", 'certificate_file = "tls/relay.crt"', 'private_key_file = "tls/relay.key"'] if tls_files else []
        return "\n".join([
            "[server]", f'hostname = "{HOSTNAME}"', 'state_directory = "/data/queue"',
            'control_socket = "/run/postern/control"', f'postmaster = "{relays.OWNER}"',
            "[[listener]]", 'address = "[::]:465"', 'tls = "implicit"',
            "[[listener]]", 'address = "[::]:587"', 'tls = "starttls"',
            *files, "[limits]", "connections_per_address_max = 200",
            relays.upstream_table(upstream.port, "tls/provider-ca.pem", host=cls.upstream_address), extra])

    @classmethod
    def configuration_files(cls, upstream):
        """A whole configuration with keys of its own, as {path: octets}; self.records are its DKIM records."""
        place = cls.scratch / "dropped"
        place.mkdir()
        (place / "postern.toml").write_text(cls.configuration_text(upstream))
        done = subprocess.run([host_program("postern"), "--config", place / "postern.toml", "dkim", "generate", "office.example",
                               "--selector", "p2026"], capture_output=True, text=True, check=True)
        cls.records = verifiers.records_from_text(done.stdout)
        certificate, key = cls.authority.issue("relay", [HOSTNAME, "localhost"])
        files = {
            "postern.toml": cls.configuration_text(upstream, verifiers.dkim_tables_from_text(done.stdout)).encode(),
            "users.d/copier-2.toml": relays.user_table().encode(),
            "secrets/provider": UPSTREAM_PASSWORD.encode() + b"\n",
            "tls/relay.crt": certificate.read_bytes(),
            "tls/relay.key": key.read_bytes(),
            "tls/provider-ca.pem": cls.authority.ca_file.read_bytes(),
        }
        return files | {f"dkim/{file.name}": file.read_bytes() for file in (place / "dkim").iterdir()}

    @classmethod
    def files_without_keys(cls, upstream, extra=""):
        """A whole configuration that leaves the keys to the box."""
        return {"postern.toml": cls.configuration_text(upstream, extra, tls_files=False).encode(),
                "users.d/copier-2.toml": relays.user_table().encode(),
                "secrets/provider": UPSTREAM_PASSWORD.encode() + b"\n",
                "tls/provider-ca.pem": cls.authority.ca_file.read_bytes()}

    @staticmethod
    def trusting(ca_file):
        return ssl.create_default_context(cafile=str(ca_file))

    def submit(self, machine, ca_file, subject, user=relays.USER, password=relays.PASSWORD, port=None):
        with smtplib.SMTP_SSL("localhost", port or machine.ports[465], context=self.trusting(ca_file), timeout=60) as device:
            device.login(user, password)
            device.sendmail(relays.SENDER, ["anna@far.example"], simple_message(subject).encode())

    def assert_signed(self, message, records):
        for verify in (verifiers.verify_with_dkimpy, verifiers.verify_with_mail_dkim):
            self.assertEqual(verify(message.content, records), {"rsa-sha256": True, "ed25519-sha256": True})

    def assert_no_port_is_open(self, machine, but=()):
        for port in machine.ports.keys() - set(but):
            context = ssl._create_unverified_context() if port == 465 else None
            self.assertIsNone(machine.answer_at(port, context), f"something listens on port {port}")


def seconds_to_ready(console):
    return float(re.search(r"ready to accept mail ([0-9.]+) s after the kernel's start", console)[1])
