"""Start, stop, crash, reload, and the operator's command: the daemon's life with mail in its hands."""

import base64
import os
import signal
import smtplib
import socket
import time

from relay import PASSWORD, SENDER, USER, user_table
from support import InteropTest, simple_message


class Life(InteropTest):
    def test_what_was_answered_250_survives_kill_9(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        relay = self.relay_to(upstream)
        relay.start()
        self.addCleanup(relay.kill)
        with relay.connect() as client:
            for number in range(20):
                client.sendmail(SENDER, ["anna@far.example"], simple_message(f"number {number}").encode())
        relay.kill()
        upstream.faults.clear()
        relay.start()
        arrived = upstream.wait(20, 60)
        for number in range(20):
            needle = f"Subject: number {number}\r\n".encode()
            self.assertTrue(any(needle in message.content for message in arrived), needle)
        relay.wait_until_queue_is_empty()
        relay.stop()

    def test_kill_9_in_the_middle_of_data_leaves_nothing_behind(self):
        upstream = self.start_upstream()
        relay = self.relay_to(upstream)
        relay.start()
        self.addCleanup(relay.kill)
        client = relay.connect()
        client.mail(SENDER)
        client.rcpt("anna@far.example")
        client.docmd("DATA")
        client.send(simple_message("half").encode() + b"x" * 700 + (b"\r\n" + b"y" * 70) * 50_000)
        relay.kill()
        client.close()
        relay.start()
        self.assertEqual(relay.queue(), [])
        relay.submit(simple_message("whole").encode())
        upstream.wait(1)
        self.assertIn(b"Subject: whole\r\n", upstream.accepted()[0].content)
        relay.stop()

    def test_sigterm_lets_a_message_in_flight_finish(self):
        upstream = self.start_upstream()
        relay = self.relay_to(upstream)
        relay.start()
        self.addCleanup(relay.kill)
        client = relay.connect()
        client.mail(SENDER)
        client.rcpt("anna@far.example")
        client.docmd("DATA")
        client.send(simple_message("in flight", "first half\r\n").encode())
        relay.send_signal(signal.SIGTERM)
        self.wait_until_refused(relay.starttls_port)
        client.send(b"second half\r\n.\r\n")
        self.assertEqual(client.getreply()[0], 250)
        client.close()
        relay.wait_until_stopped()  # fails unless the daemon ends with 0
        if not upstream.accepted():
            relay.start()
            upstream.wait(1)
            relay.stop()
        self.assertIn(b"second half", upstream.accepted()[0].content)

    def wait_until_refused(self, port):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return
            time.sleep(0.05)
        self.fail("new connections are taken after SIGTERM")

    def test_sigterm_ends_soon_although_an_upstream_stalls(self):
        upstream = self.start_upstream("mail:stall")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait_for(lambda: any(line.startswith("MAIL") for _, line in upstream.commands()), 20, "MAIL")
        upstream.faults.clear()
        relay.start()
        upstream.wait(1)
        relay.stop()

    def test_sighup_takes_a_good_file_and_refuses_a_bad_one(self):
        upstream = self.start_upstream()
        with self.relay_to(upstream) as relay:
            good = relay.text
            relay.configuration.write_text(good + "\n[nonsense]\nkey = 1\n")
            relay.send_signal(signal.SIGHUP)
            self.wait_for_status(relay, lambda text: "nonsense" in text)
            relay.submit(simple_message("after a bad reload").encode())
            upstream.wait(1)
            relay.configuration.write_text(good + user_table("camera-7"))
            relay.send_signal(signal.SIGHUP)
            self.wait_for_login(relay, "camera-7", PASSWORD)
            relay.submit(simple_message("after a good reload").encode(), user="camera-7")
            upstream.wait(2)

    def wait_for_status(self, relay, condition):
        deadline = time.monotonic() + 10
        while not condition(relay.postern("--json", "status").stdout):
            self.assertLess(time.monotonic(), deadline, relay.postern("--json", "status").stdout)
            time.sleep(0.1)

    def wait_for_login(self, relay, user, password):
        deadline = time.monotonic() + 10
        while True:
            try:
                relay.connect(user=user, password=password).quit()
                return
            except smtplib.SMTPAuthenticationError:
                self.assertLess(time.monotonic(), deadline, f"{user} cannot log in after the reload")
                time.sleep(0.2)

    def test_a_second_daemon_on_the_same_state_does_not_start(self):
        upstream = self.start_upstream()
        with self.relay_to(upstream) as relay:
            second = self.relay_to(upstream)  # whole in itself: ports, keys and control socket of its own
            second.configuration.write_text(second.text.replace('"state"', f'"{relay.directory}/state"'))
            self.addCleanup(second.kill)
            with self.assertRaisesRegex(AssertionError, "posternd ended with"):
                second.start()
            self.assertIn("another Postern daemon uses this state directory", second.log())
            second.configuration.write_text(second.text)
            second.start()  # nothing but the state directory was in its way
            second.stop()
            relay.submit(simple_message().encode())
            upstream.wait(1)


class Operator(InteropTest):
    def test_a_user_made_by_the_command_can_submit(self):
        upstream = self.start_upstream()
        relay = self.relay_to(upstream)
        relay.postern("user", "add", "alarm-panel", "--from", "alarm@office.example", "--password-stdin",
                      text="a new pass phrase\n")
        with relay:
            relay.submit(simple_message(sender="alarm@office.example").encode(), sender="alarm@office.example",
                         user="alarm-panel", password="a new pass phrase")
            upstream.wait(1)
            with relay.connect(user="alarm-panel", password="a new pass phrase") as client:
                self.assertEqual(client.mail(SENDER)[0], 550)
        file = relay.directory / "users.d" / "alarm-panel.toml"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("a new pass phrase", file.read_text())

    def test_hold_release_retry_and_remove(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message("kept").encode())
            relay.submit(simple_message("thrown away").encode())
            kept, thrown = (each["id"] for each in relay.wait_for_queue(lambda all_: len(all_) == 2, "two messages"))
            relay.postern("queue", "hold", kept)
            relay.postern("queue", "remove", thrown)
            upstream.faults.clear()
            relay.wait_for_queue(lambda all_: [each["id"] for each in all_] == [kept] and all_[0]["held"], "one held")
            time.sleep(3)  # longer than the longest retry delay of this configuration
            self.assertEqual(upstream.accepted(), [])
            relay.postern("queue", "release", kept)
            relay.postern("queue", "retry", kept, check=False)
            upstream.wait(1)

    def test_the_state_is_for_our_eyes_only(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message("confidential", "the words of a confidential letter\r\n" * 1000).encode())
            relay.wait_for_queue(bool, "a message")
            state = relay.directory / "state"
            self.assertEqual(state.stat().st_mode & 0o777, 0o700)
            self.assertEqual((relay.directory / "control").stat().st_mode & 0o777, 0o600)
            for path in state.rglob("*"):
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)
                if path.is_file():
                    self.assertNotIn(b"confidential letter", path.read_bytes(), path)  # sealed at rest
            self.assertTrue(os.listdir(state))

    def test_passwords_never_reach_the_log(self):
        upstream = self.start_upstream()
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait(1)
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                relay.connect(password="a mistyped one")
        for secret in (PASSWORD, "a mistyped one", upstream.password):
            for form in (secret, f"\0{USER}\0{secret}", f"\0{upstream.user}\0{secret}"):
                self.assertNotIn(form, relay.log())
                self.assertNotIn(base64.b64encode(form.encode()).decode(), relay.log())
