#!/usr/bin/python3
"""A small scripted SMTP upstream for tests and the demonstration.

It demands TLS (STARTTLS or implicit), then AUTH PLAIN or LOGIN, and keeps every message it took, with its envelope:
DIRECTORY/message-N.eml holds the octets as they came (CRLF, dot-unstuffed), DIRECTORY/message-N.json the envelope.
Every command of every connection is remembered, each with whether TLS stood: "no MAIL left in clear" is tested here.

Faults are scripts, STAGE[<address>]:ACTION[:TIMES]; TIMES is how often it happens, left out: always.

  STAGE   connect, ehlo, starttls, auth, mail, rcpt, data, dot, quit; <address> limits it to commands that name it
  ACTION  a reply ("451 4.7.1 later"), or one of
          close         close the connection without a reply
          stall         answer nothing and keep the connection open
          garbage       answer something that is no SMTP reply
          inject        (starttls) send plain text with the 220, as an attacker between the two would
          hide          (ehlo) do not offer STARTTLS in clear
  Examples:  rcpt:451 4.7.1 later:2       rcpt<bob@far.example>:550 5.1.1 no such user       dot:close:1

Promise: only CRLF.CRLF ends a message; a bare CR or LF in a message is recorded (`bare_newlines`), never repaired.
Sharp edge: a message whose final reply was not 250 is recorded too, with "accepted": false.

In a test:  with Upstream(directory, certificate, key, faults=["dot:close:1"]) as upstream: ... upstream.wait(1)
By hand:    upstream.py --directory D --certificate C --private-key K [--port P] [--tls implicit] [--show] [--fault F]
"""

import argparse
import base64
import dataclasses
import json
import pathlib
import re
import signal
import socket
import ssl
import sys
import threading

COMMAND_BYTES_MAX = 12288 + 2  # RFC 4954 section 4: AUTH lines may be this long
STALL_SECONDS_MAX = 600


@dataclasses.dataclass
class Fault:
    stage: str
    address: str
    action: str
    times: int  # how often it is still to happen; negative: always

    @classmethod
    def parse(cls, text):
        match = re.fullmatch(r"([a-z]+)(?:<([^>]*)>)?:(.+?)(?::(\d+))?", text, re.DOTALL)
        if not match:
            raise ValueError(f"fault '{text}' is not STAGE[<address>]:ACTION[:TIMES]")
        return cls(match[1], match[2] or "", match[3], int(match[4]) if match[4] else -1)


@dataclasses.dataclass
class Message:
    number: int
    mail_from: str
    mail_parameters: str
    recipients: list  # of [address, parameters], the accepted ones
    ehlo: str
    tls_version: str
    user: str
    accepted: bool
    bare_newlines: int
    content: bytes = dataclasses.field(repr=False, default=b"")


class Disconnect(Exception):
    """The script or the client ended the connection."""


class Upstream:
    def __init__(self, directory, certificate, private_key, tls="starttls", port=0, user="relay@office.example",
                 password="upstream secret", faults=(), capabilities=(), show=None, address="127.0.0.1"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.tls, self.user, self.password = tls, user, password
        self.hides_starttls = "ehlo:hide" in faults
        self.faults = [Fault.parse(fault) for fault in faults if fault != "ehlo:hide"]
        self.capabilities = list(capabilities) or [
            "PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        self.messages = []     # every message whose content came to its end
        self.connections = []  # per connection a list of (in TLS?, command line)
        self._show = show
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self.use_certificate(certificate, private_key)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.port = self._listener.getsockname()[1]
        self._sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def use_certificate(self, certificate, private_key):
        """For the connections that come."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, private_key)
        self._context = context

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopped.set()
        # shutdown() wakes the accepting thread; close() alone would not.
        for each in [self._listener, *self._sockets]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._listener.close()

    def accepted(self):
        return [message for message in self.messages if message.accepted]

    def wait(self, count, seconds=20):
        """Waits until `count` messages were accepted and gives them; fails loudly when they do not come."""
        self.wait_for(lambda: len(self.accepted()) >= count, seconds, f"{count} accepted messages")
        return self.accepted()

    def wait_for(self, condition, seconds, what):
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise AssertionError(f"the upstream waited {seconds} s for {what}; it took {len(self.accepted())} "
                                     f"messages and saw {self.connections[-5:]}")

    def commands(self):
        """All command lines of all connections, as (in TLS?, line)."""
        return [command for connection in self.connections for command in connection]

    def take_fault(self, stage, line=""):
        with self._changed:
            for fault in self.faults:
                if fault.stage == stage and fault.times != 0 and (not fault.address or f"<{fault.address}>" in line):
                    fault.times -= fault.times > 0
                    return fault.action
        return None

    def record(self, message):
        with self._changed:
            message.number = len(self.messages) + 1
            self.messages.append(message)
            envelope = dataclasses.asdict(message)
            del envelope["content"]
            (self.directory / f"message-{message.number}.eml").write_bytes(message.content)
            (self.directory / f"message-{message.number}.json").write_text(json.dumps(envelope, indent=2))
            self._changed.notify_all()
        if self._show:
            self._show(message)

    def note_command(self, connection, in_tls, line):
        with self._changed:
            connection.append((in_tls, line))
            self._changed.notify_all()

    def secure(self, plain):
        return self._context.wrap_socket(plain, server_side=True)

    def stall(self):
        self._stopped.wait(STALL_SECONDS_MAX)
        raise Disconnect

    def _accept(self):
        while not self._stopped.is_set():
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.add(accepted)
            commands = []
            self.connections.append(commands)
            threading.Thread(target=self._serve, args=(accepted, commands), daemon=True).start()

    def _serve(self, accepted, commands):
        connection = _Connection(self, accepted, commands)
        try:
            connection.serve()
        except (Disconnect, OSError, ValueError):
            pass
        finally:
            connection.close()
            self._sockets.discard(accepted)


class _Connection:
    """One client's connection, command by command."""

    def __init__(self, upstream, plain, commands):
        self.upstream, self.commands = upstream, commands
        plain.settimeout(STALL_SECONDS_MAX)
        self.socket, self.input = plain, None
        self.in_tls = False
        self._reset()

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass

    def _reset(self):
        self.ehlo = self.user = ""
        self._reset_transaction()

    def _reset_transaction(self):
        self.mail_from = None
        self.mail_parameters, self.recipients = "", []

    def serve(self):
        if self.upstream.tls == "implicit":
            self._start_tls()
        else:
            self.input = self.socket.makefile("rb")
        self._answer("connect", "", "220 upstream.example ESMTP scripted")
        while True:
            raw = self.input.readline(COMMAND_BYTES_MAX)
            if not raw.endswith(b"\n"):
                raise Disconnect
            line = raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n")
            self.upstream.note_command(self.commands, self.in_tls, line)
            verb = line.split(" ", 1)[0].upper()
            handler = getattr(self, "_do_" + verb.lower(), None)
            if handler is None:
                self._send("502 5.5.1 not here")
            else:
                handler(line)

    def _start_tls(self):
        self.socket = self.upstream.secure(self.socket)
        self.input = self.socket.makefile("rb")
        self.in_tls = True
        self._reset()

    def _send(self, *lines):
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())

    def _answer(self, stage, line, *usual):
        """Sends the usual reply or plays the fault; True when the usual reply went out."""
        action = self.upstream.take_fault(stage, line)
        if action is None:
            self._send(*usual)
        elif action == "close":
            raise Disconnect
        elif action == "stall":
            self.upstream.stall()
        elif action == "garbage":
            self._send("*** THE MAIL SERVICE IS NOT WELL TODAY ***")
        else:
            self._send(action)
            if action.startswith("421"):
                raise Disconnect
        return action is None

    def _do_ehlo(self, line):
        self._reset_transaction()
        self.ehlo = line[5:]
        offered = list(self.upstream.capabilities)
        if self.in_tls:
            offered.append("AUTH PLAIN LOGIN")
        elif not self.upstream.hides_starttls:
            offered.append("STARTTLS")
        self._answer("ehlo", line, "250-upstream.example", *_continued(offered))

    def _do_starttls(self, line):
        if self.in_tls:
            return self._send("503 5.5.1 TLS stands already")
        action = self.upstream.take_fault("starttls", line)
        if action == "inject":
            self._send("220 2.0.0 go ahead", "250-upstream.example", "250 AUTH PLAIN LOGIN")
        elif action is None:
            self._send("220 2.0.0 go ahead")
        elif action == "close":
            raise Disconnect
        elif action == "stall":
            self.upstream.stall()
        else:
            return self._send("*** NOT WELL ***" if action == "garbage" else action)
        return self._start_tls()

    def _do_auth(self, line):
        if not self.in_tls:
            return self._send("538 5.7.11 encryption required")
        words = line.split(" ")
        if words[1].upper() == "PLAIN":
            answer = words[2] if len(words) > 2 else self._challenge("334 ")
            _, user, password = base64.b64decode(answer).decode().split("\0")
        elif words[1].upper() == "LOGIN":
            user = words[2] if len(words) > 2 else self._challenge("334 VXNlcm5hbWU6")
            password = self._challenge("334 UGFzc3dvcmQ6")
            user, password = base64.b64decode(user).decode(), base64.b64decode(password).decode()
        else:
            return self._send("504 5.5.4 no such mechanism")
        if (user, password) != (self.upstream.user, self.upstream.password):
            return self._send("535 5.7.8 bad credentials")
        if self._answer("auth", line, "235 2.7.0 welcome"):
            self.user = user
        return None

    def _challenge(self, prompt):
        self._send(prompt)
        return self.input.readline(COMMAND_BYTES_MAX).decode().strip()

    def _do_mail(self, line):
        if not self.user:
            return self._send("530 5.7.0 STARTTLS and AUTH first")
        match = re.fullmatch(r"MAIL FROM:<([^>]*)>(.*)", line, re.IGNORECASE)
        if not match:
            return self._send("501 5.5.4 MAIL FROM:<address>")
        if self._answer("mail", line, "250 2.1.0 sender accepted"):
            self._reset_transaction()
            self.mail_from, self.mail_parameters = match[1], match[2].strip()
        return None

    def _do_rcpt(self, line):
        match = re.fullmatch(r"RCPT TO:<([^>]+)>(.*)", line, re.IGNORECASE)
        if self.mail_from is None or not match:
            return self._send("503 5.5.1 MAIL first")
        if self._answer("rcpt", line, "250 2.1.5 recipient accepted"):
            self.recipients.append([match[1], match[2].strip()])
        return None

    def _do_data(self, line):
        if not self.recipients:
            return self._send("503 5.5.1 RCPT first")
        if not self._answer("data", line, "354 go ahead"):
            return None
        content = self._read_content()
        bare = len(re.findall(rb"\r(?!\n)|(?<!\r)\n", content))
        message = Message(0, self.mail_from, self.mail_parameters, self.recipients, self.ehlo,
                          self.socket.version() or "", self.user, False, bare, content)
        try:
            # Recorded before the reply: whoever sees the 250 finds the message here.
            action = self.upstream.take_fault("dot", line)
            message.accepted = action is None or action.startswith("2")
            self.upstream.record(message)
            if action == "close":
                raise Disconnect
            if action == "stall":
                self.upstream.stall()
            elif action == "garbage":
                self._send("*** NOT WELL ***")
            else:
                self._send(action or "250 2.0.0 taken")
                if action and action.startswith("421"):
                    raise Disconnect
        finally:
            self._reset_transaction()
        return None

    def _read_content(self):
        """Up to CRLF.CRLF, dots unstuffed (RFC 5321 section 4.5.2)."""
        lines, after_crlf = [], True
        while True:
            line = self.input.readline(1 << 20)
            if not line:
                raise Disconnect
            if after_crlf and line == b".\r\n":
                return b"".join(lines)
            if after_crlf and line.startswith(b"."):
                line = line[1:]
            lines.append(line)
            after_crlf = line.endswith(b"\r\n")

    def _do_rset(self, _):
        self._reset_transaction()
        self._send("250 2.0.0 reset")

    def _do_noop(self, _):
        self._send("250 2.0.0 here")

    def _do_quit(self, line):
        self._answer("quit", line, "221 2.0.0 bye")
        raise Disconnect


def _continued(words):
    return [f"250{' ' if index == len(words) - 1 else '-'}{word}" for index, word in enumerate(words)]


def show_message(message):
    recipients = ", ".join(address for address, _ in message.recipients)
    print(f"--- message {message.number}: from <{message.mail_from}> to {recipients}; {message.tls_version}, "
          f"user {message.user}, EHLO {message.ehlo}, {len(message.content)} octets", flush=True)
    sys.stdout.buffer.write(message.content[:4000])
    if len(message.content) > 4000:
        print(f"… and {len(message.content) - 4000} octets more")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", required=True, help="where messages are kept")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--private-key", required=True)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: any free one, printed")
    parser.add_argument("--tls", choices=["starttls", "implicit"], default="starttls")
    parser.add_argument("--user", default="relay@office.example")
    parser.add_argument("--password", default="upstream secret")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--show", action="store_true", help="print every message")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Upstream(options.directory, options.certificate, options.private_key, options.tls, options.port,
                  options.user, options.password, options.fault, show=show_message if options.show else None) as made:
        print(f"listening on 127.0.0.1:{made.port}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
