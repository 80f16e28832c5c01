"""A relay of one's own: a scratch directory with a configuration, keys and certificates, and a running posternd.

    authority = Authority(scratch / "ca")
    with Relay(scratch / "relay", authority, upstreams=[upstream_of(upstream, authority)]) as relay:
        relay.submit(message)

Promise: listens on free loopback ports only, touches nothing outside its directory, and __exit__ stops the daemon
with SIGTERM and fails when it did not end with 0: a leak found by a sanitizer, an assertion and a hang are failures
of the test that met them.
The programs are taken from the build directory that the environment variable POSTERN_BUILD names.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import smtplib
import socket
import ssl
import subprocess
import time

import nacl.pwhash.argon2id

import verifiers

START_SECONDS_MAX = 60  # a sanitizer's build on a busy machine
STOP_SECONDS_MAX = 60

USER = "copier-2"
PASSWORD = "correct horse battery staple"
SENDER = "scan@office.example"
OWNER = "it@office.example"


def program(name):
    build = os.environ.get("POSTERN_BUILD")
    if not build:
        raise RuntimeError("POSTERN_BUILD must name a build directory, such as build/release")
    return str(pathlib.Path(build).resolve() / name)


def is_sanitized():
    """Whether the daemon is linked with a sanitizer's runtime, which keeps freed memory, shadows the rest and is slow."""
    daemon = pathlib.Path(program("posternd")).read_bytes()
    return b"__asan_init" in daemon or b"__tsan_init" in daemon


# Below the ports that the kernel gives to outgoing connections, which would else take one before the relay does; never the
# same port twice in a run.
PORTS = iter(random.sample(range(20000, 32000), 12000))


def free_port():
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port between 20000 and 32000 is free")


def verifier_of(password):
    """A password verifier as `postern user add` writes one, made by PyNaCl: an independent argon2id."""
    made = nacl.pwhash.argon2id.str(password.encode(), opslimit=2, memlimit=19456 * 1024)
    return "argon2id:" + made.decode()


def user_table(name=USER, password=PASSWORD, **keys):
    keys = {"senders": [SENDER, "*@scans.office.example"], "recipients": ["*"], "owner": OWNER} | keys
    lines = ["[[user]]", f'name = "{name}"', f'password = "{verifier_of(password)}"']
    return "\n".join(lines + [f"{key} = {json.dumps(value)}" for key, value in keys.items()]) + "\n"


def upstream_table(port, ca_file, name="provider", host="localhost", tls="starttls", username="relay@office.example",
                   password_file="secrets/provider", **keys):
    keys = {"name": name, "host": host, "port": port, "tls": tls, "ca_file": str(ca_file), "username": username,
            "password_file": password_file} | keys
    return "[[upstream]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


class Relay:
    """`extra` is TOML appended to the configuration; `limits` and `queue` change single keys of these tables."""

    def __init__(self, directory, authority, upstreams, users=None, routes="", extra="", limits=None, queue=None,
                 upstream_password="upstream secret", dkim_domain=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.configuration = self.directory / "postern.toml"
        self.implicit_port, self.starttls_port = free_port(), free_port()
        self.ca_file = authority.ca_file
        self.records = {}
        self._process = None
        self._log_path = self.directory / "log"
        certificate, key = authority.issue(f"relay-{self.implicit_port}", ["relay.office.example", "localhost", "127.0.0.1"])
        (self.directory / "secrets").mkdir(exist_ok=True)
        secret = self.directory / "secrets" / "provider"
        secret.write_text(upstream_password + "\n")
        secret.chmod(0o600)
        limits = {"message_bytes_max": 52_428_800, "recipients_max": 100, "connections_per_address_max": 100,
                  "auth_failures_max": 1000} | (limits or {})
        queue = {"retry_delay_min": "1s", "retry_delay_max": "2s"} | (queue or {})
        self.text = "\n".join([
            "[server]", 'hostname = "relay.office.example"', 'state_directory = "state"',
            'control_socket = "control"', f'postmaster = "{OWNER}"',
            "[[listener]]", f'address = "127.0.0.1:{self.implicit_port}"', 'tls = "implicit"',
            "[[listener]]", f'address = "127.0.0.1:{self.starttls_port}"', 'tls = "starttls"',
            "[tls]", f'certificate_file = "{certificate}"', f'private_key_file = "{key}"',
            "[limits]", *(f"{name} = {json.dumps(value)}" for name, value in limits.items()),
            "[queue]", *(f"{name} = {json.dumps(value)}" for name, value in queue.items()),
            *([user_table()] if users is None else users), *upstreams,
            routes or '[[route]]\nupstreams = ["provider"]', extra, ""])
        self.configuration.write_text(self.text)
        self.configuration.chmod(0o640)  # it holds users
        if dkim_domain:
            self.generate_dkim_keys(dkim_domain)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"--- the relay's log, {self._log_path}:\n{self.log()[-6000:]}")
            self.kill()
        else:
            self.stop()

    # --- The daemon. ---------------------------------------------------------------------------------------------

    def start(self):
        with open(self._log_path, "ab") as log:
            begun = log.tell()
            self._process = subprocess.Popen([program("posternd"), "--config", self.configuration],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True)  # the demonstration outlives its terminal
        self.wait_for_log("event=started", START_SECONDS_MAX, begun)

    def stop(self):
        """SIGTERM: sessions drain, then the daemon ends with 0 by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self.wait_until_stopped()

    def wait_until_stopped(self):
        """The end of a daemon that got its signal already; a second one would cut its draining short."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            status = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"posternd did not stop within {STOP_SECONDS_MAX} s; its log ends:\n"
                                 f"{self.log()[-3000:]}") from None
        if status != 0:
            raise AssertionError(f"posternd ended with {status}; its log ends:\n{self.log()[-6000:]}")

    def kill(self):
        """As a power cut would, for the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send_signal(self, number):
        self._process.send_signal(number)

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def wait_for_log(self, needle, seconds=20, begun=0):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if needle in self.log()[begun:]:
                return
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"posternd ended with {self._process.returncode} before '{needle}':\n"
                                     f"{self.log()[begun:]}")
            time.sleep(0.05)
        raise AssertionError(f"no '{needle}' in the log within {seconds} s:\n{self.log()[begun:][-6000:]}")

    # --- The operator's command. ---------------------------------------------------------------------------------

    def postern(self, *words, text=None, check=True):
        """Runs `postern --config F WORDS...` with `text` on standard input; gives the finished process."""
        done = subprocess.run([program("postern"), "--config", self.configuration, *map(str, words)], input=text or "",
                              capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"postern {' '.join(map(str, words))} ended with {done.returncode}: "
                                 f"{done.stdout}{done.stderr}")
        return done

    def queue(self):
        return json.loads(self.postern("--json", "queue", "list").stdout)

    def wait_for_queue(self, condition, what, seconds=20):
        """Polls the queue until `condition(messages)` holds and gives the messages."""
        deadline = time.monotonic() + seconds
        while True:
            messages = self.queue()
            if condition(messages):
                return messages
            if time.monotonic() > deadline:
                raise AssertionError(f"the queue did not come to: {what}; it holds {json.dumps(messages, indent=1)}")
            time.sleep(0.2)

    def wait_until_queue_is_empty(self, seconds=20):
        self.wait_for_queue(lambda messages: not messages, "empty", seconds)

    def generate_dkim_keys(self, domain):
        """Makes the keys, appends the [[dkim]] tables and keeps the DNS records, all as the command printed them."""
        printed = self.postern("dkim", "generate", domain).stdout
        self.records = verifiers.records_from_text(printed)
        tables = verifiers.dkim_tables_from_text(printed)
        if len(self.records) != 2 or tables.count("[[dkim]]") != 2:
            raise AssertionError(f"dkim generate should print two records and two tables: {printed}")
        self.text += tables
        self.configuration.write_text(self.text)

    # --- Clients. ------------------------------------------------------------------------------------------------

    def tls_context(self):
        return ssl.create_default_context(cafile=str(self.ca_file))

    def connect(self, implicit=False, login=True, user=USER, password=PASSWORD):
        """A smtplib client, TLS standing and (by default) logged in."""
        if implicit:
            client = smtplib.SMTP_SSL("localhost", self.implicit_port, context=self.tls_context(), timeout=60)
        else:
            client = smtplib.SMTP("localhost", self.starttls_port, timeout=60)
            client.starttls(context=self.tls_context())
        client.ehlo()
        if login:
            client.login(user, password)
        return client

    def submit(self, content, recipients=("anna@far.example",), sender=SENDER, implicit=False, options=(), **login):
        with self.connect(implicit, **login) as client:
            return client.sendmail(sender, list(recipients), content, options)

    def dial(self, implicit=False):
        """A bare connection for what no decent client would say: (socket, file to read lines from)."""
        plain = socket.create_connection(("127.0.0.1", self.implicit_port if implicit else self.starttls_port), 30)
        if implicit:
            plain = self.tls_context().wrap_socket(plain, server_hostname="localhost")
        return plain, plain.makefile("rb")


def read_reply(lines):
    """One reply: (code, all its text); (0, "") when the connection is closed."""
    text = ""
    while True:
        line = lines.readline(65536).decode(errors="replace")
        if not line:
            return 0, text
        text += line
        if line[3:4] != "-":
            return int(line[:3]), text


def read_to_end(lines):
    """Everything up to the end of the connection."""
    try:
        return lines.read()
    except OSError:
        return b""
