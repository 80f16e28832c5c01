"""Postfix as a real upstream: its own instance in the scratch directory, with STARTTLS and AUTH, delivering to maildirs.

Needs root, as Postfix does. Nothing of the machine's own Postfix is read or changed: configuration, queue and data
directories are all ours.
"""

import base64
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import threading
import time

import verifiers
from relay import free_port
from support import InteropTest, Relay, SENDER, body_of, simple_message, upstream_table

DOMAIN, LOGIN, PASSWORD = "office.example", "relay@office.example", "upstream secret"


class Postfix:
    """A private instance on one loopback port; mail for far.example and office.example goes to a maildir.

    `directory` lies two levels below the class's scratch directory, all of which it opens for walking through.
    """

    def __init__(self, directory, certificate, private_key):
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        self.configuration = self.directory / "etc"
        self.maildir = self.directory / "mail" / "all"
        # The daemons run as the user postfix and must be able to walk here.
        for each in (self.directory, self.directory.parent, self.directory.parent.parent):
            each.chmod(0o711)
        owner = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data", "mail"):
            (self.directory / name).mkdir(mode=0o755)
        os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.directory / "mail", nobody.pw_uid, nobody.pw_gid)
        self._serve_logins()
        (self.configuration / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.directory}/queue
data_directory = {self.directory}/data
maillog_file = {self.directory}/queue/log
maillog_file_prefixes = {self.directory}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = upstream.example
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = far.example, office.example
virtual_mailbox_base = {self.directory}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
virtual_mailbox_limit = 0
message_size_limit = 104857600
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {private_key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_forbid_bare_newline = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {self.directory}/auth
smtpd_helo_required = yes
smtpd_client_restrictions =
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ no-such-user@far.example = 550 5.1.1 no such mailbox }} }}
disable_dns_lookups = yes
smtp_host_lookup = native
""")
        (self.configuration / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
local     unix - n n - - local
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
showq     unix n - n - - showq
pickup    unix n - n 60 1 pickup
flush     unix n - n 1000? 0 flush
verify    unix - - n - 1 verify
postlog   unix-dgram n - n - 1 postlogd
""")

    def _serve_logins(self):
        """Postfix asks a server of Dovecot's authentication protocol (version 1) who may log in: this one.

        Debian's Postfix reads Cyrus SASL settings from /etc/postfix only, which is the machine's.
        """
        path = self.directory / "auth"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()

        def answer(connection):
            with connection, connection.makefile("rw", newline="\n") as stream:
                stream.write("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\n"
                             "COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
                stream.flush()
                for line in stream:
                    words = line.rstrip("\n").split("\t")
                    if words[0] != "AUTH":
                        continue
                    response = next(word[5:] for word in words if word.startswith("resp="))
                    _, user, password = base64.b64decode(response).decode().split("\0")
                    good = (user, password) == (LOGIN, PASSWORD)
                    stream.write(f"{'OK' if good else 'FAIL'}\t{words[1]}\tuser={user}\n")
                    stream.flush()

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()

    def log(self):
        path = self.directory / "queue" / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        self._command("start")

    def stop(self):
        self._command("stop")

    def _command(self, verb):
        done = subprocess.run(["/usr/sbin/postfix", "-c", self.configuration, verb], capture_output=True, check=False,
                              timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"postfix {verb}: {done.stdout.decode()}{done.stderr.decode()}{self.log()[-3000:]}")

    def wait(self, count, seconds=60):
        """The messages delivered, with CRLF line ends again."""
        deadline = time.monotonic() + seconds
        while True:
            found = sorted((self.maildir / "new").glob("*")) if (self.maildir / "new").exists() else []
            if len(found) >= count:
                return [path.read_bytes().replace(b"\n", b"\r\n") for path in found]
            if time.monotonic() > deadline:
                raise AssertionError(f"Postfix delivered {len(found)} of {count}; its log ends:\n{self.log()[-4000:]}")
            time.sleep(0.2)


class PostfixAsUpstream(InteropTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(os.geteuid(), 0, "Postfix can only be started by root: run the interop tests as root")
        directory = self.scratch / "postfix"
        directory.mkdir()
        self.postfix = Postfix(directory, self.certificate, self.private_key)
        self.postfix.start()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.addCleanup(self.postfix.stop)

    def relay_to_postfix(self, **settings):
        table = upstream_table(self.postfix.port, self.authority.ca_file, username=LOGIN)
        return Relay(self.scratch / "relay", self.authority, [table], **settings)

    def test_signed_mail_arrives_and_verifies(self):
        body = ".\r\n..leading dots\r\n" + "Grüße\r\n" * 10
        with self.relay_to_postfix(dkim_domain=DOMAIN) as relay:
            for number in range(3):
                relay.submit(simple_message(f"to postfix {number}", body).encode(), ["anna@far.example"])
            messages = self.postfix.wait(3)
            relay.wait_until_queue_is_empty()
        for message in messages:
            self.assertEqual(body_of(message), body.encode())
            self.assertIn(f"Return-Path: <{SENDER}>".encode(), message)
            self.assertRegex(message, rb"using TLSv1\.[23]")  # Postfix's own word for it
            for verify in (verifiers.verify_with_dkimpy, verifiers.verify_with_mail_dkim,
                           verifiers.verify_with_opendkim):
                found = verify(message, relay.records)
                self.assertEqual(set(found.values()), {True}, (verify.__name__, found))
        self.assertIn(f"sasl_username={LOGIN}", self.postfix.log())

    def test_a_recipient_that_postfix_refuses_comes_back_as_a_report(self):
        with self.relay_to_postfix() as relay:
            relay.submit(simple_message("half refused").encode(), ["no-such-user@far.example", "anna@far.example"])
            messages = self.postfix.wait(2)
            relay.wait_until_queue_is_empty()
        report = next(message for message in messages if message.startswith(b"Return-Path: <>"))
        self.assertIn(b"Final-Recipient: rfc822;", report.replace(b"rfc822; ", b"rfc822;"))
        self.assertIn(b"no-such-user@far.example", report)
        self.assertIn(b"5.1.1", report)
