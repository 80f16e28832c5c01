"""What a hostile or broken client may not do: the submission side from the outside."""

import base64
import socket
import ssl

from relay import PASSWORD, USER, read_reply, read_to_end, user_table
from support import InteropTest, SENDER, simple_message

# RFC 5321 section 4.1.1.4: only CRLF.CRLF ends a message. None of these does.
LOOK_ALIKES = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n",
               b"\n\n.\r\r\n", b"\r\r\n.\r\r\n"]
SMUGGLED = (f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<victim@far.example>\r\nDATA\r\n"
            f"From: {SENDER}\r\nSubject: smuggled\r\n\r\nsmuggled").encode()


class SubmissionSecurity(InteropTest):
    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream()
        normalizing = user_table("old-scanner", bare_newline="normalize")
        self.relay = self.relay_to(self.upstream, users=[user_table(), normalizing])
        self.relay.start()
        self.addCleanup(self.relay.stop)

    def say(self, plain, lines, command):
        plain.sendall(command.encode() + b"\r\n")
        return read_reply(lines)

    def open_transaction(self, user=USER):
        client = self.relay.connect(user=user)
        self.addCleanup(client.close)
        client.mail(SENDER)
        client.rcpt("anna@far.example")
        self.assertEqual(client.docmd("DATA")[0], 354)
        return client

    def test_nothing_but_starttls_before_tls(self):
        plain, lines = self.relay.dial()
        self.assertEqual(read_reply(lines)[0], 220)
        _, offered = self.say(plain, lines, "EHLO printer.example")
        self.assertIn("STARTTLS", offered)
        self.assertNotIn("AUTH", offered)
        credential = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        self.assertIn(self.say(plain, lines, f"AUTH PLAIN {credential}")[0], (530, 538))
        for command in ("HELO printer.example", f"MAIL FROM:<{SENDER}>", "RCPT TO:<anna@far.example>", "DATA", "RSET",
                        "VRFY anna", "EXPN all"):
            self.assertEqual(self.say(plain, lines, command)[0], 530, command)
        plain.close()

    def test_commands_injected_behind_starttls_are_thrown_away(self):
        # RFC 3207 section 4.2; the error of many servers in 2011 and again in 2021.
        credential = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        injected = (f"EHLO injected.example\r\nAUTH PLAIN {credential}\r\nMAIL FROM:<{SENDER}>\r\n"
                    "RCPT TO:<victim@far.example>\r\nDATA\r\n")
        plain, lines = self.relay.dial()
        self.assertEqual(read_reply(lines)[0], 220)
        self.say(plain, lines, "EHLO printer.example")
        plain.sendall(b"STARTTLS\r\n" + injected.encode())
        self.assertEqual(read_reply(lines)[0], 220)
        secure = self.relay.tls_context().wrap_socket(plain, server_hostname="localhost")
        self.addCleanup(secure.close)
        secure.settimeout(1)
        with self.assertRaises(TimeoutError):  # no reply to what was injected
            secure.recv(1)
        # Nothing of it was done: no user, no transaction, and not even a greeting is remembered.
        secure.settimeout(30)
        lines = secure.makefile("rb")
        self.assertEqual(self.say(secure, lines, f"MAIL FROM:<{SENDER}>")[0], 530)
        self.assertEqual(self.say(secure, lines, f"AUTH PLAIN {credential}")[0], 503)
        self.assertNotIn("event=login-accepted", self.relay.log())
        # The client's own words are heard: its message is the only one, and names it in the trace field.
        self.assertEqual(self.say(secure, lines, "EHLO printer.example")[0], 250)
        self.assertEqual(self.say(secure, lines, f"AUTH PLAIN {credential}")[0], 235)
        for command, code in ((f"MAIL FROM:<{SENDER}>", 250), ("RCPT TO:<anna@far.example>", 250), ("DATA", 354),
                              (simple_message("its own") + ".", 250)):
            self.assertEqual(self.say(secure, lines, command)[0], code, command)
        message = self.upstream.wait(1)[0]
        self.assertEqual([address for address, _ in message.recipients], ["anna@far.example"])
        self.assertIn(b"from printer.example", message.content)
        self.assertNotIn(b"injected.example", message.content)

    def test_mail_without_authentication_is_refused(self):
        for implicit in (True, False):
            with self.subTest(implicit=implicit), self.relay.connect(implicit, login=False) as client:
                self.assertEqual(client.mail(SENDER)[0], 530)
                self.assertGreaterEqual(client.rcpt("anna@far.example")[0], 500)
                self.assertGreaterEqual(client.docmd("DATA")[0], 500)

    def test_a_wrong_password_and_an_unknown_user_get_the_same_words(self):
        replies = set()
        for user, password in ((USER, "wrong"), ("nobody", PASSWORD), ("nobody", "wrong")):
            credential = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            with self.relay.connect(login=False) as client:
                replies.add(client.docmd("AUTH", f"PLAIN {credential}"))
        self.assertEqual(len(replies), 1, replies)
        self.assertEqual(replies.pop()[0], 535)

    def test_a_sender_that_is_not_the_users_is_refused(self):
        with self.relay.connect() as client:
            self.assertEqual(client.mail("boss@office.example")[0], 550)
        with self.relay.connect() as client:  # the header's From as well
            client.mail(SENDER)
            client.rcpt("anna@far.example")
            code, text = client.data(simple_message(sender="boss@office.example").encode())
            self.assertEqual((code, text[:5]), (550, b"5.7.1"))
        self.assertEqual(self.upstream.messages, [])

    def test_an_address_to_answer_to_must_be_fully_qualified(self):
        # RFC 6409 section 4.2; where the mail goes says the envelope, so To is the device's own affair.
        # A From like this is refused earlier: it is no address of the user.
        for name, code in (("From", 550), ("Reply-To", 554), ("To", 250)):
            with self.subTest(field=name), self.relay.connect() as client:
                client.mail(SENDER)
                client.rcpt("anna@far.example")
                fields = {"From": SENDER, "To": "anna@far.example", name: "copier@localhost"}
                content = "".join(f"{field}: {value}\r\n" for field, value in fields.items()) + "\r\nscan\r\n"
                got, text = client.data(content.encode())
                self.assertEqual(got, code, text)
                if code == 554:
                    self.assertIn(f"in the {name} field is not fully qualified".encode(), text)
        self.upstream.wait(1)

    def test_look_alikes_of_the_final_dot_are_refused(self):
        for look_alike in LOOK_ALIKES:
            with self.subTest(look_alike=look_alike):
                client = self.open_transaction()
                client.send(simple_message("first").encode() + look_alike + SMUGGLED + b"\r\n.\r\n")
                replies = client.sock.makefile("rb")
                self.assertEqual(read_reply(replies)[0], 550)
                self.assertEqual(read_to_end(replies), b"")  # and the connection is closed
        self.assertEqual(self.relay.queue(), [])
        self.assertEqual(self.upstream.messages, [])

    def test_a_user_with_normalize_gets_one_message_never_two(self):
        for look_alike in (b"\n.\n", b"\n.\r\n", b"\r\n.\n"):
            with self.subTest(look_alike=look_alike):
                before = len(self.upstream.accepted())
                client = self.open_transaction("old-scanner")
                client.send(simple_message("first").encode() + b"line" + look_alike + SMUGGLED + b"\r\n.\r\n")
                self.assertEqual(client.getreply()[0], 250)
                message = self.upstream.wait(before + 1)[before]
                self.relay.wait_until_queue_is_empty()
                self.assertEqual(len(self.upstream.accepted()), before + 1)
                # After a CRLF the dot is the stuffed dot of a line that holds a bare LF (RFC 5321 4.5.2).
                kept = b"" if look_alike.startswith(b"\r\n") else b"."
                self.assertIn(b"line\r\n" + kept + b"\r\nMAIL FROM:", message.content)
                self.assertEqual(message.bare_newlines, 0)

    def test_input_pipelined_behind_data_is_refused(self):
        client = self.relay.connect()
        self.addCleanup(client.close)
        client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@far.example>\r\nDATA\r\nSubject: too early\r\n\r\nx\r\n.\r\n")
        # RFC 2920 section 3.1: DATA ends a group; what follows it is neither content nor commands.
        replies = client.sock.makefile("rb")
        self.assertEqual([read_reply(replies)[0] for _ in range(3)], [250, 250, 554])
        self.assertEqual(read_to_end(replies), b"")
        self.assertEqual(self.relay.queue(), [])
        self.assertEqual(self.upstream.messages, [])

    def test_a_browser_and_bdat_are_cut_off(self):
        plain, lines = self.relay.dial()
        read_reply(lines)
        plain.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nEHLO x\r\n")
        self.assertNotIn(b"250", read_to_end(lines))
        plain.close()
        client = self.relay.connect()
        client.mail(SENDER)
        client.rcpt("anna@far.example")
        client.send(b"BDAT 12 LAST\r\nMAIL FROM:<\r\n")
        replies = client.sock.makefile("rb")
        self.assertEqual(read_reply(replies)[0], 502)
        self.assertEqual(read_to_end(replies), b"")
        client.close()

    def test_old_tls_and_foreign_alpn_are_refused(self):
        # RFC 8996; RFC 7301: a browser must not be talked into a TLS session with a mail server.
        for change in (lambda context: setattr(context, "maximum_version", ssl.TLSVersion.TLSv1_1),
                       lambda context: context.set_alpn_protocols(["http/1.1"]),
                       lambda context: (setattr(context, "maximum_version", ssl.TLSVersion.TLSv1_2),
                                        context.set_ciphers("AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0"))):
            context = self.relay.tls_context()
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.set_ciphers("ALL:@SECLEVEL=0")
            change(context)
            with socket.create_connection(("127.0.0.1", self.relay.implicit_port), 30) as plain:
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    with context.wrap_socket(plain, server_hostname="localhost") as secure:
                        # TLS 1.3: the refusal can come after the client thinks it is done.
                        if not secure.recv(1):
                            raise ConnectionResetError
        context = self.relay.tls_context()
        context.set_alpn_protocols(["smtp"])
        with socket.create_connection(("127.0.0.1", self.relay.implicit_port), 30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                self.assertEqual(read_reply(secure.makefile("rb"))[0], 220)

    def test_the_wrong_kind_of_tls_is_named_in_the_log(self):
        with socket.create_connection(("127.0.0.1", self.relay.starttls_port), 30) as plain:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.relay.tls_context().wrap_socket(plain, server_hostname="localhost")
        self.relay.wait_for_log("event=tls-on-starttls-port")
        with socket.create_connection(("127.0.0.1", self.relay.implicit_port), 30) as plain:
            plain.sendall(b"EHLO printer.example\r\n")
            read_to_end(plain.makefile("rb"))
        self.relay.wait_for_log("the client sent plain text where TLS was expected")

    def test_a_message_too_large_is_refused_and_the_next_goes_through(self):
        # RFC 1870 section 6.
        with self.relay.connect() as client:
            code, text = client.mail(SENDER, ["SIZE=99999999"])
            self.assertEqual((code, text[:5]), (552, b"5.3.4"))
            client.sendmail(SENDER, ["anna@far.example"], simple_message().encode())
        self.upstream.wait(1)

    def test_one_recipient_too_many_gets_452_and_the_others_stay(self):
        # RFC 5321 section 4.5.3.1.10.
        with self.relay.connect() as client:
            client.mail(SENDER)
            codes = [client.rcpt(f"p{number}@far.example")[0] for number in range(101)]
            self.assertEqual(codes, [250] * 100 + [452])
            self.assertEqual(client.data(simple_message().encode())[0], 250)
        self.assertEqual(len(self.upstream.wait(1)[0].recipients), 100)
