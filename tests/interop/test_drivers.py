"""Faults that the drivers once had, each as the client's sequence that met it."""

import base64
import signal

from relay import PASSWORD, USER, user_table
from support import InteropTest, SENDER, simple_message

# Sealed octets that the queue keeps in its row, storage/queue_store.hpp: body_in_row_bytes_max.
ROW_BYTES = 256 * 1024


class DriverFaults(InteropTest):
    def start_relay(self, *users):
        self.upstream = self.start_upstream()
        self.relay = self.relay_to(self.upstream, users=list(users))
        self.relay.start()
        self.addCleanup(self.relay.stop)

    def test_a_refused_commit_followed_by_quit_ends_cleanly(self):
        # The commit's refusal pumped the session, QUIT freed it, and it was used afterwards.
        self.start_relay(user_table(bytes_per_day_max=2000))
        for _ in range(3):
            client = self.relay.connect()
            client.mail(SENDER)
            client.rcpt("anna@far.example")
            self.assertEqual(client.docmd("DATA")[0], 354)
            client.send(simple_message("large").encode() + b"x" * 70 * 40 + b"\r\n.\r\nQUIT\r\n")
            self.assertEqual(client.getreply()[0], 550)  # more than a whole day's octets at once
            self.assertEqual(client.getreply()[0], 221)
            client.close()
        self.assertEqual(self.relay.queue(), [])
        self.relay.submit(simple_message("small").encode())  # it still lives, and takes what fits
        self.upstream.wait(1)

    def test_a_user_added_after_the_connection_began_is_asked_to_come_back(self):
        # The old snapshot did not hold the user that the new one let in.
        self.start_relay(user_table())
        client = self.relay.connect(login=False)
        self.addCleanup(client.close)
        self.relay.configuration.write_text(self.relay.text + user_table("camera-7"))
        self.relay.send_signal(signal.SIGHUP)
        self.relay.wait_for_log("event=reloaded")
        client.user, client.password = "camera-7", PASSWORD
        self.assertEqual(client.docmd("AUTH", "PLAIN " + self.plain("camera-7"))[0], 454)
        self.assertEqual(client.docmd("AUTH", "PLAIN " + self.plain(USER))[0], 235)

    def test_an_open_session_ends_with_the_old_password(self):
        # `postern user passwd` says that the old one ends with the reload; who was in stayed in.
        self.start_relay(user_table())
        words = ("--password-stdin",)
        self.relay.postern("user", "add", "door", "--from", SENDER, *words, text="the first password\n")
        client = self.relay.connect(user="door", password="the first password")
        self.addCleanup(client.close)
        self.assertEqual(client.docmd("MAIL", f"FROM:<{SENDER}>")[0], 250)
        self.assertEqual(client.docmd("RSET")[0], 250)
        self.relay.postern("user", "passwd", "door", *words, text="the second password\n")
        self.assertEqual(client.docmd("MAIL", f"FROM:<{SENDER}>")[0], 421)
        self.relay.submit(simple_message("with the new one").encode(), user="door", password="the second password")
        self.upstream.wait(1)

    def plain(self, user):
        return base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()

    def test_bodies_around_the_size_of_a_row_are_taken(self):
        # The last sealed chunk made some of them too large for the row, and they were refused for ever.
        self.start_relay(user_table())
        header = f"From: {SENDER}\r\nSubject: size\r\n\r\n".encode()
        line = b"y" * 62 + b"\r\n"
        for size in (ROW_BYTES - 128, ROW_BYTES - 64, ROW_BYTES):
            self.relay.submit(header + line * (size // len(line)))
        self.assertEqual(len(self.upstream.wait(3)), 3)
