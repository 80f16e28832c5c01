"""How the relay says "later": rates, lock-outs, and that each hits only whom it should."""

import base64
import os
import re
import resource
import smtplib
import subprocess
import time

from clients import send_by_swaks
from relay import PASSWORD, USER, user_table
from support import COMMAND_SECONDS_MAX, InteropTest, SENDER, simple_message

COME_BACK = re.compile(r"come back in (\d+)s or raise (\w+)")


class Limits(InteropTest):
    def start_relay(self, *users, **limits):
        self.upstream = self.start_upstream()
        self.relay = self.relay_to(self.upstream, users=list(users) or None, limits=limits)
        self.relay.start()
        self.addCleanup(self.relay.stop)

    def swaks(self, *recipients):
        """What a real client shows of its session; whether all of it was taken is for the test to say."""
        done = subprocess.run(
            ["swaks", "--server", "localhost", "--port", str(self.relay.implicit_port), "--tls-on-connect",
             "--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD, "--from", SENDER,
             "--to", ",".join(recipients), "--helo", "copier.office.example"],
            capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX)
        return done.returncode, done.stdout + done.stderr


class Rates(Limits):
    def test_the_message_beyond_the_rate_gets_450_and_comes_through_at_the_time_it_was_told(self):
        messages_max = 15  # one more every four seconds
        self.start_relay(user_table(messages_per_minute_max=messages_max))
        begun = time.monotonic()
        with self.relay.connect() as client:
            for _ in range(messages_max):
                self.assertEqual(client.mail(SENDER)[0], 250)
                client.rset()
            # On a slow machine some have come back meanwhile.
            while client.mail(SENDER)[0] == 250:
                client.rset()
                self.assertLess(time.monotonic() - begun, 60)
        status, shown = self.swaks("anna@far.example")
        self.assertNotEqual(status, 0, shown)
        refusal = re.search(r"<\S* 450 4\.7\.1 (.*)", shown)
        self.assertTrue(refusal, shown)
        self.assertIn(f"user {USER} has reached its limit of {messages_max} messages a minute", refusal[1])
        told = COME_BACK.search(refusal[1])
        self.assertTrue(told, refusal[1])
        self.assertEqual(told[2], "messages_per_minute_max")
        self.assertIn(int(told[1]), range(1, 60 // messages_max + 1))
        self.relay.wait_for_log("command=MAIL code=450 status=4.7.1")
        time.sleep(int(told[1]))
        send_by_swaks(self, self.relay, simple_message("in time").encode(), SENDER, ["anna@far.example"], True)
        self.assertIn(b"Subject: in time", self.upstream.wait(1)[0].content)

    def test_the_recipient_beyond_the_days_gets_452_and_the_others_stay(self):
        self.start_relay(user_table(recipients_per_day_max=2))
        status, shown = self.swaks("anna@far.example", "bert@far.example", "cleo@far.example")
        refusals = re.findall(r"<\S* 4\d\d .*", shown)
        self.assertEqual(len(refusals), 1, shown)
        # A third of a day's two is half a day away.
        self.assertRegex(refusals[0], r" 452 4\.7\.1 .* 2 recipients a day; come back in (12h|11h 59m) or raise "
                                      "recipients_per_day_max")
        self.assertEqual(status, 0, shown)  # swaks goes on with those that were taken
        message = self.upstream.wait(1)[0]
        self.assertEqual([address for address, _ in message.recipients], ["anna@far.example", "bert@far.example"])

    def test_the_limit_of_one_user_is_not_the_limit_of_another(self):
        self.start_relay(user_table(messages_per_minute_max=1), user_table("camera-7"))
        self.relay.submit(simple_message("first").encode())
        with self.relay.connect() as client:
            self.assertEqual(client.mail(SENDER)[0], 450)
        self.relay.submit(simple_message("another's").encode(), user="camera-7")
        self.upstream.wait(2)


class LockOut(Limits):
    def connect_from(self, address):
        client = smtplib.SMTP_SSL("localhost", self.relay.implicit_port, context=self.relay.tls_context(), timeout=60,
                                  source_address=(address, 0))
        self.addCleanup(client.close)
        client.ehlo()
        return client

    def authenticate(self, client, password):
        """One AUTH; smtplib's own login would try one mechanism after the other."""
        return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{USER}\0{password}".encode()).decode())

    def test_failed_logins_lock_the_address_and_not_the_user(self):
        self.start_relay(auth_failures_max=2)
        guesser = self.connect_from("127.0.0.1")
        for seconds in (1, 2):  # each answer takes longer than the one before
            begun = time.monotonic()
            self.assertEqual(self.authenticate(guesser, "a guess")[0], 535)
            self.assertGreaterEqual(time.monotonic() - begun, seconds)
        locked = self.connect_from("127.0.0.1")
        self.assertEqual(self.authenticate(locked, PASSWORD)[0], 454)  # the right one
        with self.assertRaises(smtplib.SMTPServerDisconnected):
            locked.noop()
        self.relay.wait_for_log("command=AUTH code=454 status=4.7.0")
        self.relay.wait_for_log('reason="the address is locked after too many failed logins"')
        elsewhere = self.connect_from("127.0.0.2")
        self.assertEqual(self.authenticate(elsewhere, PASSWORD)[0], 235)
        elsewhere.sendmail(SENDER, ["anna@far.example"], simple_message().encode())
        self.upstream.wait(1)


class Refused(Limits):
    def test_a_flood_of_refused_connections_that_stay_takes_few_descriptors_and_few_lines(self):
        flood = 600  # two descriptors each would not fit into 1,024
        self.start_relay(connections_per_address_max=2)
        folder = f"/proc/{self.relay.pid}/fd"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * flood), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = len(os.listdir(folder))
        sockets = []
        for _ in range(flood):
            sockets.append(self.relay.dial()[0])
            self.addCleanup(sockets[-1].close)
        refused = sum(one.recv(100).startswith(b"421 4.7.0") for one in sockets)
        self.assertGreaterEqual(refused, flood - 2)
        open_now = len(os.listdir(folder))
        lingering = 64 * 4  # of a loop, and of as many workers as there may be
        self.assertLessEqual(open_now, idle + 2 + lingering)
        self.assertLessEqual(self.relay.log().count("event=connection-refused "), 4)
