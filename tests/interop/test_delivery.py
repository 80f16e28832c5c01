"""What an upstream can do to us, and what becomes of the mail: after our 250 it arrives or a person learns why."""

import email
import email.policy
import socket

from authority import Authority
from relay import OWNER, USER, free_port, upstream_table, user_table
from support import InteropTest, Relay, SENDER, simple_message

REPORT_SECONDS = 30


class DeliveryTest(InteropTest):
    def report(self, upstream, action, count=2, seconds=REPORT_SECONDS):
        """Waits for a delivery status notification with `action` and gives (message, report per recipient)."""
        def found():
            return [message for message in upstream.accepted()
                    if message.mail_from == "" and f"Action: {action}".encode() in message.content]
        upstream.wait_for(found, seconds, f"a report that says {action} (of {count} messages)")
        message = found()[0]
        parsed = email.message_from_bytes(message.content, policy=email.policy.default)
        self.assertEqual(parsed.get_content_type(), "multipart/report")
        self.assertEqual(parsed.get_param("report-type"), "delivery-status")
        self.assertIn("auto-", parsed["Auto-Submitted"])  # RFC 3834 section 5
        self.assertLessEqual({address for address, _ in message.recipients}, {SENDER, OWNER})
        status = next(part for part in parsed.walk() if part.get_content_type() == "message/delivery-status")
        per_message, *per_recipient = status.get_payload()
        self.assertTrue(per_message["Reporting-MTA"].startswith("dns;"), per_message)  # RFC 3464 section 2.2.2
        return message, per_recipient


class RetriesAndReports(DeliveryTest):
    def test_4yz_is_tried_again_until_it_arrives(self):
        for stage in ("connect", "mail", "rcpt", "data", "dot"):
            with self.subTest(stage=stage):
                upstream = self.start_upstream(f"{stage}:451 4.7.1 later:2")
                with self.relay_to(upstream) as relay:
                    relay.submit(simple_message().encode())
                    upstream.wait(1)
                    relay.wait_until_queue_is_empty()
                self.assertEqual(len(upstream.accepted()), 1)

    def test_421_and_a_reply_that_is_no_smtp_are_temporary(self):
        upstream = self.start_upstream("mail:421 4.3.2 going down:1", "mail:garbage:1", "rcpt:close:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait(1)

    def test_5yz_is_final_and_a_report_comes(self):
        upstream = self.start_upstream("rcpt<anna@far.example>:550 5.1.1 no such user")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message("a secret plan").encode())
            message, recipients = self.report(upstream, "failed")
            relay.wait_until_queue_is_empty()
        # RFC 3464 section 2.3: the fields a person and a program need.
        self.assertEqual(len(recipients), 1)
        self.assertEqual(recipients[0]["Final-Recipient"].replace(" ", ""), "rfc822;anna@far.example")
        self.assertEqual(recipients[0]["Action"], "failed")
        self.assertEqual(recipients[0]["Status"], "5.1.1")
        self.assertIn("550", recipients[0]["Diagnostic-Code"])
        self.assertIn(b"no such user", message.content)
        self.assertIn(b"a secret plan", message.content)  # the header of the message it is about

    def test_5yz_at_the_dot_is_final_too(self):
        upstream = self.start_upstream("dot:554 5.6.0 not this:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            self.report(upstream, "failed")

    def test_552_at_rcpt_is_temporary(self):
        # RFC 5321 section 4.5.3.1.10.
        upstream = self.start_upstream("rcpt<anna@far.example>:552 too many recipients:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait(1)
        self.assertEqual(upstream.accepted()[0].mail_from, SENDER)

    def test_each_recipient_has_its_own_outcome(self):
        upstream = self.start_upstream("rcpt<no@far.example>:550 5.1.1 no:1", "rcpt<later@far.example>:450 4.2.0 busy:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode(), ["yes@far.example", "no@far.example", "later@far.example"])
            _, reported = self.report(upstream, "failed", 3)
            relay.wait_until_queue_is_empty()
        self.assertEqual([each["Final-Recipient"].split(";")[1].strip() for each in reported], ["no@far.example"])
        delivered = [address for message in upstream.accepted() if message.mail_from == SENDER
                     for address, _ in message.recipients]
        self.assertEqual(sorted(delivered), ["later@far.example", "yes@far.example"])

    def test_a_connection_lost_after_the_final_dot_is_tried_again(self):
        upstream = self.start_upstream("dot:close:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait(1)
            relay.wait_until_queue_is_empty()
        self.assertEqual(len(upstream.messages), 2)  # the duplicate that is accepted, where a loss is not
        self.assertEqual(upstream.messages[0].content, upstream.messages[1].content)

    def test_a_delay_notice_and_then_giving_up(self):
        upstream = self.start_upstream("rcpt<anna@far.example>:451 4.7.1 greylisted")
        with self.relay_to(upstream, queue={"delay_notice_after": "2s", "lifetime_max": "6s"}) as relay:
            relay.submit(simple_message().encode())
            _, delayed = self.report(upstream, "delayed")
            self.assertTrue(delayed[0]["Status"].startswith("4."), delayed[0]["Status"])
            self.report(upstream, "failed")
            relay.wait_until_queue_is_empty()

    def test_no_report_with_notify_never(self):
        # RFC 3461 section 4.1. The failure of the recipient beside shows that reports do come.
        upstream = self.start_upstream("rcpt<anna@far.example>:550 5.1.1 no", "rcpt<bert@far.example>:550 5.1.1 no")
        with self.relay_to(upstream) as relay:
            with relay.connect() as client:
                client.mail(SENDER)
                self.assertEqual(client.rcpt("anna@far.example", ["NOTIFY=NEVER"])[0], 250)
                self.assertEqual(client.rcpt("bert@far.example")[0], 250)
                self.assertEqual(client.data(simple_message().encode())[0], 250)
            _, reported = self.report(upstream, "failed")
            relay.wait_until_queue_is_empty()
        self.assertEqual([each["Final-Recipient"].split(";")[1].strip() for each in reported], ["bert@far.example"])
        self.assertEqual(len(upstream.accepted()), 1)

    def test_no_report_about_a_report(self):
        # RFC 5321 sections 4.5.5, 6.1. The user's owner refuses the report; the postmaster learns of that, refuses it
        # too, and there it ends.
        manager = "manager@office.example"
        upstream = self.start_upstream("rcpt<anna@far.example>:550 5.1.1 no", f"rcpt<{manager}>:550 5.1.1 gone",
                                       f"rcpt<{OWNER}>:550 5.1.1 gone too")
        with self.relay_to(upstream, users=[user_table(owner=manager)]) as relay:
            relay.submit(simple_message().encode())
            relay.wait_until_queue_is_empty()
        envelopes = [line.split(" ")[:2] for _, line in upstream.commands() if line.startswith(("MAIL", "RCPT"))]
        self.assertEqual(envelopes, [["MAIL", f"FROM:<{SENDER}>"], ["RCPT", "TO:<anna@far.example>"],
                                     ["MAIL", "FROM:<>"], ["RCPT", f"TO:<{manager}>"],
                                     ["MAIL", "FROM:<>"], ["RCPT", f"TO:<{OWNER}>"]])
        self.assertEqual(upstream.messages, [])


class UpstreamIdentity(DeliveryTest):
    """With a wrong certificate nothing but EHLO and STARTTLS leaves, and `queue show` says why."""

    def assert_held_back(self, upstream, words, **settings):
        with self.relay_to(upstream, **settings) as relay:
            relay.submit(simple_message().encode())
            message = relay.wait_for_queue(lambda all_: all_ and all_[0]["attempts"] >= 1 and all_[0]["last_error"],
                                           "an attempt with its reason")[0]
            shown = relay.postern("queue", "show", message["id"]).stdout
        self.assertRegex(shown.lower(), words)
        self.assert_no_mail_or_auth(upstream)
        self.assert_left_in_clear(upstream)

    def test_a_certificate_for_another_name(self):
        pair = self.authority.issue("other", ["other.example"])
        for tls in ("starttls", "implicit"):
            with self.subTest(tls=tls):
                self.assert_held_back(self.start_upstream(certificate=pair[0], private_key=pair[1], tls=tls),
                                      "name|localhost")

    def test_a_certificate_of_an_unknown_authority(self):
        pair = Authority(self.scratch / "unknown", "another throw-away CA").issue("stranger", ["localhost"])
        for tls in ("starttls", "implicit"):
            with self.subTest(tls=tls):
                self.assert_held_back(self.start_upstream(certificate=pair[0], private_key=pair[1], tls=tls),
                                      "trust|authority|issuer|root")

    def test_an_expired_certificate(self):
        pair = self.authority.issue_expired("expired", ["localhost"])
        self.assert_held_back(self.start_upstream(certificate=pair[0], private_key=pair[1]), "expired")

    def test_an_upstream_that_hides_starttls(self):
        self.assert_held_back(self.start_upstream("ehlo:hide"), "starttls")

    def test_an_upstream_that_refuses_starttls(self):
        self.assert_held_back(self.start_upstream("starttls:454 4.7.0 not now"), "starttls|454")

    def test_plain_text_sent_with_the_220_never_counts(self):
        # RFC 3207 section 4.2: what came before the handshake is forgotten; here the connection is given up.
        upstream = self.start_upstream("starttls:inject:1")
        with self.relay_to(upstream) as relay:
            relay.submit(simple_message().encode())
            upstream.wait(1)
        self.assert_left_in_clear(upstream)

    def test_a_refused_login_keeps_the_mail_and_tells_why(self):
        upstream = self.start_upstream()
        with self.relay_to(upstream, upstream_password="wrong") as relay:
            relay.submit(simple_message().encode())
            message = relay.wait_for_queue(lambda all_: all_ and all_[0]["last_error"], "a reason")[0]
            self.assertRegex(message["last_error"], "535|authenticat")
        self.assertEqual(upstream.messages, [])


class NextHops(DeliveryTest):
    def test_the_second_upstream_is_tried_when_the_first_cannot_be_reached(self):
        second = self.start_upstream()
        tables = [upstream_table(free_port(), self.authority.ca_file, name="first"),
                  upstream_table(second.port, self.authority.ca_file, name="second")]
        with Relay(self.scratch / "relay", self.authority, tables,
                   routes='[[route]]\nupstreams = ["first", "second"]\n') as relay:
            relay.submit(simple_message().encode())
            second.wait(1)

    def test_routes_choose_by_recipient_sender_and_user(self):
        partner, rest = self.start_upstream(), self.start_upstream()
        tables = [upstream_table(partner.port, self.authority.ca_file, name="partner"),
                  upstream_table(rest.port, self.authority.ca_file, name="rest")]
        routes = (f'[[route]]\nrecipients = ["*@partner.example"]\nsenders = ["*"]\nusers = ["{USER}"]\n'
                  'upstreams = ["partner"]\n[[route]]\nupstreams = ["rest"]\n')
        with Relay(self.scratch / "relay", self.authority, tables, routes=routes) as relay:
            relay.submit(simple_message().encode(), ["a@partner.example", "b@far.example"])
            partner.wait(1)
            rest.wait(1)
        self.assertEqual(partner.accepted()[0].recipients[0][0], "a@partner.example")
        self.assertEqual(rest.accepted()[0].recipients[0][0], "b@far.example")

    def test_a_port_where_something_else_listens_is_temporary(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            table = upstream_table(listener.getsockname()[1], self.authority.ca_file)
            with Relay(self.scratch / "relay", self.authority, [table]) as relay:
                relay.submit(simple_message().encode())
                listener.settimeout(60)
                connection, _ = listener.accept()
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()
                relay.wait_for_queue(lambda all_: all_ and all_[0]["last_error"], "a reason")
