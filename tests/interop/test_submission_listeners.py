"""Where clients reach the relay: IPv6, and sockets that the supervisor bound before it started."""

import os
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile

from relay import PASSWORD, SENDER, START_SECONDS_MAX, USER, Relay, free_port, program, read_reply, upstream_table
from support import InteropTest, simple_message

# sd_listen_fds(3): the descriptors are 3 and up, and LISTEN_PID is who they are for. A process learns its own number
# only when it runs, so that a parent stands in for the supervisor, which sets it between fork and exec.
SUPERVISOR = """
import os, sys
*descriptors, count = map(int, sys.argv[1].split(","))
for target, descriptor in enumerate(descriptors, 3):
    os.dup2(descriptor, target, inheritable=True)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(count)
os.execv(sys.argv[2], sys.argv[2:])
"""


class SupervisedRelay(Relay):
    """Gets `sockets` handed over, as systemd does it for a socket unit."""

    sockets = ()

    def start(self):
        # Above where they go, so that one does not overwrite the next.
        high = [os.dup2(each.fileno(), 100 + index) for index, each in enumerate(self.sockets)]
        words = ",".join(map(str, [*high, len(high)]))
        with open(self._log_path, "ab") as log:
            begun = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, words, program("posternd"), "--config", self.configuration],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=high)
        for each in high:
            os.close(each)
        self.wait_for_log("event=started", START_SECONDS_MAX, begun)


class HandedOverSockets(InteropTest):
    def supervised_relay(self, *sockets):
        self.upstream = self.start_upstream()
        relay = SupervisedRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                                [upstream_table(self.upstream.port, self.authority.ca_file)])
        self.addCleanup(relay.kill)
        relay.sockets = sockets
        return relay

    def bind(self, port):
        made = socket.create_server(("127.0.0.1", port))
        self.addCleanup(made.close)
        return made

    def test_who_connected_before_the_relay_ran_is_served_when_it_does(self):
        relay = self.supervised_relay()
        relay.sockets = [self.bind(relay.implicit_port), self.bind(relay.starttls_port)]
        early = socket.create_connection(("127.0.0.1", relay.starttls_port), 30)
        self.addCleanup(early.close)
        with relay:
            self.assertEqual(read_reply(early.makefile("rb"))[0], 220)
            self.assertEqual(relay.log().count("handed_over=yes"), 2)
            self.assertNotIn("event=listens-elsewhere", relay.log())
            for implicit in (True, False):  # each socket got the TLS mode of the listener with its port
                relay.submit(simple_message(f"implicit {implicit}").encode(), implicit=implicit)
            self.upstream.wait(2)

    def test_the_sockets_of_the_supervisor_outlive_the_relay(self):
        relay = self.supervised_relay()
        relay.sockets = [self.bind(relay.implicit_port)]
        with relay:
            relay.submit(simple_message("before").encode(), implicit=True)
        waiting = socket.create_connection(("127.0.0.1", relay.implicit_port), 30)  # nobody is refused meanwhile
        self.addCleanup(waiting.close)
        with relay:
            secure = relay.tls_context().wrap_socket(waiting, server_hostname="localhost")
            self.assertEqual(read_reply(secure.makefile("rb"))[0], 220)
            secure.close()

    def test_a_socket_at_more_addresses_than_its_listener_names_is_warned_of(self):
        relay = self.supervised_relay()
        everywhere = socket.create_server(("0.0.0.0", relay.implicit_port))
        self.addCleanup(everywhere.close)
        relay.sockets = [everywhere]
        with relay:
            self.assertIn(f"event=listens-elsewhere configured=127.0.0.1:{relay.implicit_port} address=0.0.0.0:"
                          f"{relay.implicit_port} ", relay.log())

    def test_a_socket_that_no_listener_names_is_refused_at_start(self):
        stray = self.bind(free_port())
        relay = self.supervised_relay(stray)
        with self.assertRaisesRegex(AssertionError, "posternd ended with"):
            relay.start()
        self.assertIn(f"127.0.0.1:{stray.getsockname()[1]}", relay.log())
        self.assertRegex(relay.log(), r"no \[\[listener\]\].* has its port")


class Ipv6(InteropTest):
    def test_mail_comes_in_over_ipv6_and_the_trace_field_says_so(self):
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            port = listener.getsockname()[1]
        upstream = self.start_upstream()
        listener = f'[[listener]]\naddress = "[::1]:{port}"\ntls = "implicit"\n'
        with self.relay_to(upstream, extra=listener) as relay:
            plain = socket.create_connection(("::1", port), 30)
            secure = relay.tls_context().wrap_socket(plain, server_hostname="localhost")
            self.assertIsInstance(secure, ssl.SSLSocket)
            client = smtplib.SMTP(timeout=60)
            client.sock, client.file = secure, secure.makefile("rb")
            self.assertEqual(client.getreply()[0], 220)
            client.ehlo("copier.office.example")
            client.login(USER, PASSWORD)
            client.sendmail(SENDER, ["anna@far.example"], simple_message("over IPv6").encode())
            client.quit()
            content = upstream.wait(1)[0].content
            relay.wait_for_log("event=message-queued")
            self.assertRegex(relay.log(), r'event=message-queued .*client_address="?::1')
        # RFC 5321 section 4.1.3, 4.4: an IPv6 address literal carries its tag.
        self.assertRegex(content, rb"Received: from copier\.office\.example \(\[IPv6:::1\]\)")
