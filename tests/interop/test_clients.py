"""Five real clients submit over both listeners, and what the upstream gets is byte for byte what they wrote."""

import base64
import hashlib
import random
import tempfile

import clients
import verifiers
from relay import Relay, upstream_table
from support import InteropTest, SENDER, body_of, simple_message
from upstream import Upstream

LARGE_BYTES = 20 * 1024 * 1024


class _ClientsTest(InteropTest):
    """One relay that signs and one upstream for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = Upstream(tempfile.mkdtemp(dir=cls.class_directory), cls.certificate, cls.private_key)
        cls.addClassCleanup(cls.upstream.stop)
        cls.relay = Relay(tempfile.mkdtemp(dir=cls.class_directory), cls.authority,
                          [upstream_table(cls.upstream.port, cls.authority.ca_file)], dkim_domain="office.example")
        cls.relay.start()
        cls.addClassCleanup(cls.relay.stop)

    def arrived(self, subject, seconds=60):
        needle = f"Subject: {subject}\r\n".encode()

        def found():
            return [message for message in self.upstream.accepted() if needle in message.content[:20000]]
        self.upstream.wait_for(found, seconds, f"the message '{subject}'")
        self.assertEqual(len(found()), 1)
        return found()[0]

    def send_by_all(self, kind, make, recipients=("anna@far.example",), names=tuple(clients.ALL)):
        """Every client over both listeners; gives the messages as they arrived."""
        messages = []
        for name in names:
            for implicit in (True, False):
                with self.subTest(client=name, implicit=implicit):
                    subject = f"{kind} {name} {'465' if implicit else '587'}"
                    content = make(subject)
                    clients.ALL[name](self, self.relay, content, SENDER, list(recipients), implicit)
                    message = self.arrived(subject)
                    self.assertEqual(hashlib.sha256(body_of(message.content)).hexdigest(),
                                     hashlib.sha256(body_of(content)).hexdigest())
                    self.assertEqual([address for address, _ in message.recipients], list(recipients))
                    self.assertEqual(message.mail_from, SENDER)
                    self.assertEqual(message.bare_newlines, 0)
                    messages.append(message)
        return messages

    def assert_signed(self, message, verify):
        found = verify(message.content, self.relay.records)
        self.assertEqual(set(found.values()), {True}, found)
        return set(found)

    def assert_signed_for_all(self, message):
        both = {"rsa-sha256", "ed25519-sha256"}
        self.assertEqual(self.assert_signed(message, verifiers.verify_with_dkimpy), both)
        self.assertEqual(self.assert_signed(message, verifiers.verify_with_mail_dkim), both)
        self.assertEqual(self.assert_signed(message, verifiers.verify_with_opendkim), {"rsa-sha256"})


class ClientsOverBothListeners(_ClientsTest):
    def test_plain_text(self):
        messages = self.send_by_all("plain", lambda subject: simple_message(subject).encode())
        for message in messages:
            self.assertRegex(message.tls_version, "TLSv1.[23]")
            # RFC 3848: submitted by ESMTP, over TLS, authenticated; RFC 6531 §4.3 when the client said SMTPUTF8.
            self.assertRegex(message.content.decode().replace("\r\n", "\n"),
                             r"(?s)Received: from .*\sby relay\.office\.example with (ESMTPSA|UTF8SMTPSA)")

    def test_eight_bit_text(self):
        body = "Grüße aus dem Büro, 8 bit as UTF-8.\r\n".encode() + "and Latin-1: äöü\r\n".encode("latin-1")
        mime = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n"
        for message in self.send_by_all(
                "eight bit", lambda subject: simple_message(subject, "", extra=mime).encode() + body):
            self.assert_signed(message, verifiers.verify_with_dkimpy)

    def test_fifty_recipients(self):
        self.send_by_all("fifty", lambda subject: simple_message(subject).encode(),
                         [f"person{number}@far.example" for number in range(50)])

    def test_dots_at_line_starts(self):
        # RFC 5321 section 4.5.2, and the signature must survive both stuffings (RFC 6376 section 3.4).
        body = ".\r\n..\r\n...\r\n.dot\r\n. \r\n\r\n.\r\nend.\r\n\r\n.x\r\n"
        for message in self.send_by_all("dots", lambda subject: simple_message(subject, body).encode()):
            self.assert_signed_for_all(message)

    def test_smtputf8_addresses(self):
        recipients = ["jörg@far.example"]
        for message in self.send_by_all("utf8", lambda subject: simple_message(subject, to="jörg@far.example").encode(),
                                        recipients, clients.WITH_SMTPUTF8):
            self.assertIn("SMTPUTF8", message.mail_parameters.upper())
            self.assert_signed(message, verifiers.verify_with_dkimpy)

    def test_signatures_verify_at_three_independent_verifiers(self):
        for number, body in enumerate(["", "\r\n", "no end of line at the end \t \r\n\r\n\r\n", "x" * 990 + "\r\n"]):
            with self.subTest(body=body[:20]):
                subject = f"verified {number}"
                self.relay.submit(simple_message(subject, body, extra="X-Folded: a\r\n  b\t c \r\n").encode())
                self.assert_signed_for_all(self.arrived(subject))

    def test_a_changed_message_does_not_verify(self):
        # Shows that the three verifiers can say no with these very records.
        self.relay.submit(simple_message("original").encode())
        good = self.arrived("original").content
        for changed in (good.replace(b"Subject: original", b"Subject: doctored"), good + b"more\r\n",
                        b"From: evil@office.example\r\n" + good):  # From is oversigned
            for verify in (verifiers.verify_with_dkimpy, verifiers.verify_with_mail_dkim,
                           verifiers.verify_with_opendkim):
                with self.subTest(verifier=verify.__name__, start=changed[:20]):
                    self.assertNotIn(True, verify(changed, self.relay.records).values())

    def test_bcc_and_return_path_are_removed_and_missing_fields_added(self):
        # RFC 6409 section 8: Date and Message-ID; RFC 5322 section 3.6.3: Bcc is not for the recipients' eyes.
        self.relay.submit(f"From: {SENDER}\r\nTo: anna@far.example\r\nBcc: secret@far.example\r\nReturn-Path: <x@y>\r\n"
                          "Subject: fixed up\r\n\r\nbody\r\n".encode())
        header = self.arrived("fixed up").content.partition(b"\r\n\r\n")[0].decode().lower()
        self.assertNotIn("secret@", header)
        self.assertNotIn("return-path", header)
        self.assertRegex(header, r"\nmessage-id:\s*<[^>]+@relay\.office\.example>")
        self.assertRegex(header, r"\ndate:\s")


class LargeMessages(_ClientsTest):
    long = True

    def test_twenty_megabyte_attachment(self):
        data = base64.encodebytes(random.Random(1).randbytes(LARGE_BYTES * 3 // 4)).replace(b"\n", b"\r\n")
        mime = ('MIME-Version: 1.0\r\nContent-Type: application/pdf; name="scan.pdf"\r\n'
                "Content-Transfer-Encoding: base64\r\n")
        messages = self.send_by_all("large", lambda subject: simple_message(subject, "", extra=mime).encode() + data)
        self.assert_signed_for_all(messages[0])
