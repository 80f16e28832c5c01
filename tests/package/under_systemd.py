"""The package installed on a Debian of its own (debootstrap) that systemd runs in a container (systemd-nspawn).

What only systemd itself can show: the unit's sandbox lets the relay work, the socket unit's ports and the credentials arrive,
the watchdog restarts it. Promise: nothing of this machine is changed; the tree lies below build/package and is made anew.
Sharp edges: needs root, and the ports 465 and 587 of this machine, whose network the container shares.
"""

import json
import os
import pathlib
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "tests" / "interop"), str(REPOSITORY / "firmware" / "image")]

import packages
from authority import Authority
from relay import OWNER, PASSWORD, SENDER, USER, upstream_table, user_table
from support import simple_message
from upstream import Upstream

SECONDS_MAX = 120      # for one thing to happen
INSTALL_SECONDS_MAX = 1200
HOSTNAME = "relay.office.example"
CREDENTIAL = "/run/credentials/posternd.service/secrets_provider"


def run(*command, code=0, seconds=SECONDS_MAX, **settings):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=seconds, check=False, **settings)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def release():
    """This machine's Debian, and a mirror of it."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)[1]
    return codename, next(address for address, suite in packages.mirrors(codename) if suite == codename)


class UnderSystemd(unittest.TestCase):
    deb = None  # the package; who runs this sets it

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise AssertionError("installing the package in a container needs root")
        cls.scratch = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="postern-")))
        cls.tree = cls.deb.parent / "debian"
        shutil.rmtree(cls.tree, ignore_errors=True)
        cls.addClassCleanup(shutil.rmtree, cls.tree, ignore_errors=True)
        codename, mirror = release()
        run("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,ca-certificates", codename, cls.tree, mirror,
            seconds=INSTALL_SECONDS_MAX)
        shutil.copy(cls.deb, cls.tree / "postern.deb")
        run("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "-D", cls.tree,
            "apt-get", "install", "--yes", "--no-install-recommends", "/postern.deb", seconds=INSTALL_SECONDS_MAX)
        cls.authority = Authority(cls.scratch / "ca")
        cls.upstream = Upstream(cls.scratch / "upstream", *cls.authority.issue("upstream", ["localhost", "127.0.0.1"]))
        cls.addClassCleanup(cls.upstream.stop)
        (cls.tree / "etc/hosts").write_text("127.0.0.1 localhost\n")  # an installer's, which debootstrap is not
        cls.start_machine()

    @classmethod
    def start_machine(cls):
        cls.console = open(cls.scratch / "console", "wb")
        cls.addClassCleanup(cls.console.close)
        cls.machine = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "-D", cls.tree, "--machine=postern-test"],
            stdin=subprocess.DEVNULL, stdout=cls.console, stderr=subprocess.STDOUT)
        cls.addClassCleanup(cls.stop_machine)
        cls.wait_for(lambda: cls.systemctl("is-system-running", code=None).strip() in ("running", "degraded"), "systemd runs")

    @classmethod
    def stop_machine(cls):
        cls.machine.terminate()  # an orderly shutdown
        try:
            cls.machine.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            cls.machine.kill()
            cls.machine.wait()

    @classmethod
    def inside(cls, *command, **settings):
        """Runs a command in the container."""
        children = pathlib.Path(f"/proc/{cls.machine.pid}/task/{cls.machine.pid}/children").read_text().split()
        # At first it is still in our namespaces.
        if not children or os.readlink(f"/proc/{children[0]}/ns/pid") == os.readlink("/proc/self/ns/pid"):
            return ""
        return run("nsenter", "--target", children[0], "--all", "--root", "--wd=/", *command, **settings)

    @classmethod
    def systemctl(cls, *words, **settings):
        return cls.inside("systemctl", *words, **settings)

    @classmethod
    def properties(cls):
        return dict(line.split("=", 1) for line in cls.systemctl("show", "posternd.service").splitlines() if "=" in line)

    @staticmethod
    def wait_for(condition, what):
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {SECONDS_MAX} s: {what}")
            time.sleep(0.2)

    def tearDown(self):
        print(self.journal())

    def journal(self):
        self.inside("journalctl", "--sync", code=None)
        return self.inside("journalctl", "--no-pager", "--unit", "posternd.service", "--unit", "posternd.socket", code=None)

    def configure(self):
        """As posternd(8) tells an administrator; here after an erase, which takes `credentials` away."""
        place = self.tree / "etc/postern"
        certificate, key = self.authority.issue("relay", [HOSTNAME, "localhost"])
        for name in ("tls", "dkim", "secrets"):
            (place / name).mkdir(mode=0o700)
        shutil.copy(certificate, place / "tls/relay.crt")
        shutil.copy(key, place / "tls/relay.key")
        shutil.copy(self.authority.ca_file, place / "tls/provider-ca.pem")
        (place / "secrets/provider").write_text("upstream secret\n")
        for file in (place / "tls/relay.key", place / "secrets/provider"):
            file.chmod(0o600)
        (place / "credentials").rmdir()
        (place / "postern.toml").write_text("\n".join([
            "[server]", f'hostname = "{HOSTNAME}"', 'state_directory = "/var/lib/postern"', f'postmaster = "{OWNER}"',
            'control_socket = "/run/postern/control"',
            "[[listener]]", 'address = "[::]:465"', 'tls = "implicit"',
            "[[listener]]", 'address = "[::]:587"', 'tls = "starttls"',
            "[tls]", 'certificate_file = "tls/relay.crt"', 'private_key_file = "tls/relay.key"', user_table(),
            upstream_table(self.upstream.port, "tls/provider-ca.pem", password_file="secrets/provider")]))
        page = (REPOSITORY / "firmware/man/posternd.8.scd").read_text()
        commands = page.partition("```\ncd /etc/postern\n")[2].partition("```")[0].replace("\\\\\n", "\\\n")
        self.assertIn("--check-config", commands)
        self.inside("sh", "-ec", "cd /etc/postern\n" + commands)

    def submit(self, subject):
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        with smtplib.SMTP_SSL("localhost", 465, context=context, timeout=SECONDS_MAX) as client:
            client.login(USER, PASSWORD)
            client.sendmail(SENDER, ["anna@far.example"], simple_message(subject).encode())

    def arrived(self, subject):
        return any(f"Subject: {subject}\r\n".encode() in message.content for message in self.upstream.accepted())

    def test_it_works_as_it_is_installed(self):
        with self.subTest("without a configuration nothing listens"):
            self.assertEqual(self.properties()["ActiveState"], "inactive")
            for port in (465, 587):
                with self.assertRaises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), 5).close()
        with self.subTest("a configuration, and it takes mail and hands it on"):
            self.configure()
            self.assertEqual(self.properties()["ActiveState"], "active")
            self.submit("first")
            self.wait_for(lambda: self.arrived("first"), "the first mail arrives")
        with self.subTest("the operator's command"):
            status = json.loads(self.inside("postern", "--json", "status"))
            self.assertEqual(status["restart_needed"], [])
            self.assertIn("good", self.inside("postern", "health"))
        with self.subTest("a reload"):
            good = (self.tree / "etc/postern/postern.toml").read_text()
            for bad, refusals in (("[no-such-table]\n", 2), ("[[[ no-toml\n", 1)):  # the last one is the signal's
                (self.tree / "etc/postern/postern.toml").write_text(good + bad)
                before = self.journal().count("event=reload-refused")
                self.systemctl("reload", "posternd.service", code=1)
                self.wait_for(lambda: self.journal().count("event=reload-refused") == before + refusals, "the relay tells of it")
            self.assertIn("no-such-table", self.journal())
            (self.tree / "etc/postern/postern.toml").write_text(good)
            self.systemctl("reload", "posternd.service")
            self.submit("reloaded")
            self.wait_for(lambda: self.arrived("reloaded"), "mail after a reload arrives")
        with self.subTest("the ports stay open while it is stopped"):
            before = self.properties()["MainPID"]
            self.systemctl("stop", "posternd.service")
            self.submit("started")
            self.wait_for(lambda: self.arrived("started"), "mail that started it arrives")
            self.assertNotIn(self.properties()["MainPID"], (before, "0"))
        with self.subTest("a secret that systemd hands over"):
            place = self.tree / "etc/postern"
            (place / "credentials").mkdir(mode=0o700)
            (place / "credentials/provider").write_text("upstream secret\n")
            (place / "credentials/provider").chmod(0o600)
            (place / "secrets/provider").unlink()
            (place / "postern.toml").write_text((place / "postern.toml").read_text().replace("secrets/provider", CREDENTIAL))
            self.systemctl("restart", "posternd.service")
            self.submit("credential")
            self.wait_for(lambda: self.arrived("credential"), "mail with a secret of root's arrives")
        with self.subTest("the watchdog"):
            self.assertEqual(self.properties()["WatchdogUSec"], "1min")
            shorter = self.tree / "etc/systemd/system/posternd.service.d/shorter.conf"
            shorter.parent.mkdir()
            shorter.write_text("[Service]\nWatchdogSec=5s\nTimeoutAbortSec=5s\n")
            self.systemctl("daemon-reload")
            self.systemctl("restart", "posternd.service")
            before = self.properties()["MainPID"]
            self.systemctl("kill", "--kill-whom=main", "--signal=STOP", "posternd.service")
            self.wait_for(lambda: self.properties()["NRestarts"] == "1", "systemd restarts a relay that stands still")
            self.assertNotEqual(self.properties()["MainPID"], before)
            self.submit("watched")
            self.wait_for(lambda: self.arrived("watched"), "mail after that arrives")

