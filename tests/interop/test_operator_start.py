"""The operator's command before the first start and beside a relay that has ended: whose files are, and who answers."""

import os
import pwd
import socket
import stat

from operator_support import OperatorTest, good, status


class TestSocket(OperatorTest):
    def test_no_socket_is_no_relay_or_another_control_socket(self):
        told = self.postern("status", code=1).stderr
        self.assertIn("posternd is not running, or it was started with another control_socket", told)
        self.assertIn("Start posternd with --config", told)
        self.assertNotIn("systemctl", told)

    def test_a_socket_left_behind_is_told_as_such(self):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.scratch / "control"))  # and nobody listens, as after a kill
        told = self.postern("status", code=1).stderr
        self.assertIn("it has ended and left its socket behind", told)
        self.assertIn("Start posternd", told)

    def test_who_may_ask_is_named(self):
        self.answer(status=good(status()))
        nobody = pwd.getpwnam("nobody")
        self.assertEqual(os.geteuid(), 0, "this test becomes somebody else, which takes root")
        for directory in (self.scratch, *self.scratch.parents[:1]):
            directory.chmod(0o755)
        os.chown(self.scratch / "control", 1, 1)
        (self.scratch / "control").chmod(0o600)
        told = self.postern("status", code=1, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]).stderr
        self.assertIn("permission denied", told)
        self.assertIn(f"Run the command as root or as {pwd.getpwuid(1).pw_name}.", told)


class TestOwnership(OperatorTest):
    ADD = ("user", "add", "door", "--from", "door@office.example")

    def owner(self, name):
        return (self.scratch / name).stat().st_uid

    def test_without_a_state_directory_root_is_told_to_hand_the_files_over(self):
        (self.scratch / "state").rmdir()
        self.assertEqual(os.geteuid(), 0, "only root makes files for somebody else")
        expected = "`chown -R USER "
        self.assertIn(expected + str(self.scratch / "users.d"), self.postern(*self.ADD).stderr)
        self.assertIn(expected, self.postern("dkim", "generate", "office.example").stderr)

    def test_the_owner_of_users_d_gets_new_files_before_the_first_start(self):
        (self.scratch / "state").rmdir()
        (self.scratch / "users.d").mkdir(mode=0o700)
        self.assertEqual(os.geteuid(), 0, "only root makes files for somebody else")
        somebody = 1
        os.chown(self.scratch / "users.d", somebody, -1)
        self.assertEqual(self.postern(*self.ADD).stderr, "")
        self.postern("dkim", "generate", "office.example")
        for name in ("users.d/door.toml", "dkim", "dkim/office.example.rsa.pem"):
            self.assertEqual(self.owner(name), somebody, name)
        self.assertEqual(stat.S_IMODE((self.scratch / "users.d/door.toml").stat().st_mode), 0o600)

    def test_the_owner_of_the_state_directory_gets_new_files(self):
        somebody = 1 if os.geteuid() == 0 else os.geteuid()
        os.chown(self.scratch / "state", somebody, -1)
        self.assertEqual(self.postern(*self.ADD).stderr, "")
        self.assertEqual(self.owner("users.d/door.toml"), somebody)


class TestBothFamilies(OperatorTest):
    def test_listeners_on_every_ipv6_and_every_ipv4_address_share_a_port(self):
        upstream = self.start_upstream()
        relay = self.relay_to(upstream)
        relay.text = relay.text.replace(f"127.0.0.1:{relay.implicit_port}", f"[::]:{relay.implicit_port}").replace(
            f"127.0.0.1:{relay.starttls_port}", f"0.0.0.0:{relay.implicit_port}")
        relay.configuration.write_text(relay.text)
        with relay:
            with socket.create_connection(("127.0.0.1", relay.implicit_port), 30) as plain:
                self.assertTrue(plain.recv(3).startswith(b"220"))  # STARTTLS: a banner in clear
            with socket.create_connection(("::1", relay.implicit_port), 30) as six, \
                    relay.tls_context().wrap_socket(six, server_hostname="localhost") as secure:
                self.assertTrue(secure.recv(3).startswith(b"220"))
