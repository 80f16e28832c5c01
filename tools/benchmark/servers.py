"""The servers under measurement: Postern, and Postfix with OpenDKIM, each set up to do the same.

Both take mail on one loopback port by STARTTLS after AUTH PLAIN, sign it with RSA-2048 (Postern also with Ed25519), and
relay it to the sink by STARTTLS with a verified certificate after AUTH PLAIN. Limits against abuse are wide open in both.
Promise: loopback only; everything a server keeps is in its directory on the measured disk, its log is elsewhere (an
appliance logs to memory). `roots` are the processes whose trees are the server.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

DOMAIN = "office.example"
SENDER, RECIPIENT = f"scan@{DOMAIN}", "anna@far.example"
USER, PASSWORD = "copier-2", "correct horse battery staple"
SINK_USER, SINK_PASSWORD = f"relay@{DOMAIN}", "upstream secret"

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
CONNECTIONS_MAX = 2000  # more than any scenario opens
MESSAGE_BYTES_MAX = 52_428_800
# Connections to the sink: as many as Postfix opens to one destination by default.
UPSTREAM_CONNECTIONS_MAX = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(condition, what, process, log):
    """Until `condition()` holds; an error with the end of the log when the process ends first, or when it takes long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come up; the log ends:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def wait_for_port(port, process, log):
    def greets():
        try:
            with socket.create_connection(("127.0.0.1", port), START_SECONDS_MAX) as connection:
                return bool(connection.recv(1))  # all behind the port stands
        except OSError:
            return False
    wait_for(greets, f"the server on port {port}", process, log)


class Server:
    """What both have in common. A started server must be stopped; `__enter__` and `__exit__` do both."""

    def __init__(self, directory, log_directory):
        self.directory, self.log = pathlib.Path(directory), pathlib.Path(log_directory) / f"{self.name}.log"
        self.directory.mkdir()
        self.port = free_port()
        self.log.write_text("")
        self._processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory)

    def _spawn(self, *words):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        self._processes.append(process)
        return process

    def stop(self):
        """SIGTERM to each and a wait; what does not end is killed, which is an error of the run."""
        stubborn = []
        for process in reversed(self._processes):
            self._ask_to_end(process)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                stubborn.append(process.args[0])
                process.kill()
                process.wait()
        self._processes = []
        if stubborn:
            raise RuntimeError(f"{', '.join(stubborn)} did not end within {STOP_SECONDS_MAX} s")

    def _ask_to_end(self, process):
        """SIGTERM; strace keeps one for itself, so that its child gets it, and strace ends with the child."""
        pid = process.pid
        if process.args[0] == "strace":
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0]) if children else pid
        os.kill(pid, signal.SIGTERM)

    @property
    def roots(self):
        return [process.pid for process in self._processes]


class Postern(Server):
    name, title, signatures = "postern", "Postern", 2

    def __init__(self, directory, log_directory, build, authority, certificate, key, sink_port, prefix=()):
        super().__init__(directory, log_directory)
        self._build, self._prefix = pathlib.Path(build), list(prefix)
        self._configuration = self.directory / "postern.toml"
        secret = self.directory / "sink-password"
        secret.write_text(SINK_PASSWORD + "\n")
        secret.chmod(0o600)
        self._configuration.write_text(f"""
[server]
hostname = "relay.{DOMAIN}"
state_directory = "state"
control_socket = "control"
postmaster = "it@{DOMAIN}"
[[listener]]
address = "127.0.0.1:{self.port}"
tls = "starttls"
[tls]
certificate_file = "{certificate}"
private_key_file = "{key}"
[limits]
message_bytes_max = {MESSAGE_BYTES_MAX}
connections_max = {CONNECTIONS_MAX}
connections_per_address_max = {CONNECTIONS_MAX}
[[upstream]]
name = "sink"
host = "localhost"
port = {sink_port}
tls = "starttls"
ca_file = "{authority.ca_file}"
username = "{SINK_USER}"
password_file = "sink-password"
connections_max = {UPSTREAM_CONNECTIONS_MAX}
[[route]]
upstreams = ["sink"]
""")
        self._postern("user", "add", USER, "--from", SENDER, "--password-stdin", text=PASSWORD + "\n")
        printed = self._postern("dkim", "generate", DOMAIN)
        tables = re.findall(r"\[\[dkim\]\]\n(?:\w+ = .*\n)+", printed)
        if len(tables) != self.signatures:
            raise RuntimeError(f"postern dkim generate should print two tables: {printed}")
        with open(self._configuration, "a", encoding="utf-8") as file:
            file.write("".join(tables))

    def _postern(self, *words, text=""):
        done = subprocess.run([self._build / "postern", "--config", self._configuration, *words], input=text,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"postern {' '.join(words)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        process = self._spawn(*self._prefix, self._build / "posternd", "--config", self._configuration)
        wait_for_port(self.port, process, self.log)

    def waiting(self):
        return len(json.loads(self._postern("--json", "queue", "list")))
