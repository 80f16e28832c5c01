"""Backup, restore and erase with the real programs: what waits comes through, and what is erased is gone."""

import json
import os
import pathlib
import shutil
import threading

from support import InteropTest, body_of, relays, simple_message, upstream_table
import verifiers

PASSPHRASE = "correct horse battery"
LARGE = "".join(f"{line:072d}\r\n" for line in range(6000))  # 444 KB: a body of its own in the spool


class BackupTest(InteropTest):
    def moveable_relay(self, upstream, name="relay", **settings):
        """A relay whose files all lie beneath its own directory, named relative to it."""
        relay = relays.Relay(self.scratch / name, self.authority, [upstream_table(upstream.port, "tls/ca.pem", tls=upstream.tls)],
                             **settings)
        (relay.directory / "tls").mkdir(mode=0o700)
        shutil.copy(self.authority.ca_file, relay.directory / "tls/ca.pem")
        for key in ("certificate_file", "private_key_file"):
            line = next(line for line in relay.text.splitlines() if line.startswith(f"{key} = "))
            source = pathlib.Path(json.loads(line.partition("= ")[2]))
            shutil.copy(source, relay.directory / "tls" / source.name)
            relay.text = relay.text.replace(line, f'{key} = "tls/{source.name}"')
        relay.configuration.write_text(relay.text)
        if settings.get("dkim_domain") is None:
            relay.generate_dkim_keys("office.example")
        self.addCleanup(relay.kill)
        return relay

    def back_up(self, relay, file, **settings):
        return relay.postern("--json", "backup", file, "--passphrase-stdin", text=PASSPHRASE + "\n", **settings)

    def restore(self, relay, file, *words, passphrase=PASSPHRASE, **settings):
        return relay.postern("restore", file, "--passphrase-stdin", *words, text=passphrase + "\n", **settings)

    @staticmethod
    def snapshot(directory):
        """Every file beneath a directory with its octets and mode."""
        return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode)
                for path in sorted(directory.rglob("*")) if path.is_file()}


class Backup(BackupTest):
    def test_of_a_relay_at_another_control_socket_it_is_refused(self):
        relay = self.moveable_relay(self.start_upstream())
        relay.start()
        relay.configuration.write_text(relay.text.replace('control_socket = "control"', 'control_socket = "other"'))
        done = self.back_up(relay, self.scratch / "b.backup", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "a relay has the queue in .*/state, but does not listen at .*/other")
        self.assertFalse((self.scratch / "b.backup").exists())

    def test_what_was_acknowledged_before_arrives_from_the_new_machine(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        relay = self.moveable_relay(upstream)
        relay.start()
        sent = {f"large {number}": LARGE for number in range(2)} | {f"small {number}": "Hello.\r\n" for number in range(10)}
        for subject, body in sent.items():
            relay.submit(simple_message(subject, body).encode())
        meanwhile, stop = [], threading.Event()

        def keep_sending():
            with relay.connect() as client:
                while not stop.is_set():
                    client.sendmail(relays.SENDER, ["anna@far.example"], simple_message(f"meanwhile {len(meanwhile)}").encode())
                    meanwhile.append(len(meanwhile))

        sender = threading.Thread(target=keep_sending)
        sender.start()
        before = len(meanwhile)
        file = self.scratch / "b.backup"
        told = json.loads(self.back_up(relay, file).stdout)
        stop.set()
        sender.join()
        self.assertTrue(told["verified"])
        self.assertGreaterEqual(told["messages"], len(sent) + before)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(b"large", file.read_bytes())
        relay.kill()
        shutil.rmtree(relay.directory)

        moved = self.moved(relay)
        self.restore(moved, file)
        upstream.faults.clear()
        moved.start()
        arrived = upstream.wait(told["messages"], 120)
        moved.wait_until_queue_is_empty(60)
        moved.stop()
        by_subject = {subject: [each for each in arrived if f"Subject: {subject}\r\n".encode() in each.content] for subject in sent}
        for subject, body in sent.items():
            [message] = by_subject[subject]
            self.assertEqual(body_of(message.content), body.encode())
            self.assertEqual(verifiers.verify_with_dkimpy(message.content, relay.records),
                             {"rsa-sha256": True, "ed25519-sha256": True})
        for number in range(before):
            self.assertTrue(any(f"Subject: meanwhile {number}\r\n".encode() in each.content for each in arrived), number)

    def moved(self, relay):
        """The same relay in a directory that does not exist yet, as on a new machine."""
        moved = self.moveable_relay(self.start_upstream(), name="made-for-nothing")
        moved.directory = self.scratch / "new"
        moved.configuration = moved.directory / "postern.toml"
        moved._log_path = self.scratch / "new.log"
        moved.implicit_port, moved.starttls_port = relay.implicit_port, relay.starttls_port
        return moved

    def test_of_a_killed_relay_it_is_made_too_and_held_mail_waits(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        relay = self.moveable_relay(upstream)
        relay.start()
        for subject, body in (("one", "1\r\n"), ("two", LARGE)):
            relay.submit(simple_message(subject, body).encode())
        relay.kill()
        file = self.scratch / "b.backup"
        self.assertEqual(json.loads(self.back_up(relay, file).stdout)["messages"], 2)
        self.assertFalse((relay.directory / "state/snapshot").exists())
        refused = self.restore(relay, file, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("this is no new machine", refused.stderr)
        told = self.restore(relay, file, "--replace", "--hold").stdout
        self.assertIn("second time", told)
        self.assertIn("nobody delivers it now", told)
        [replaced] = relay.directory.glob("replaced-*")
        self.assertTrue((replaced / "postern.toml").exists())
        upstream.faults.clear()
        relay.start()
        queue = relay.queue()
        self.assertEqual([message["held"] for message in queue], [True, True])
        relay.postern("queue", "release", "--all")
        self.assertEqual({body_of(each.content) for each in upstream.wait(2, 60)}, {b"1\r\n", LARGE.encode()})
        refused = self.restore(relay, file, "--replace", check=False)
        self.assertIn("the relay runs", refused.stderr)
        relay.stop()

    def test_a_wrong_passphrase_and_a_damaged_file_change_nothing(self):
        relay = self.moveable_relay(self.start_upstream())
        file = self.scratch / "b.backup"
        self.back_up(relay, file)
        before = self.snapshot(relay.directory)
        told = self.restore(relay, file, "--replace", passphrase="incorrect horse", check=False).stderr
        self.assertIn("passphrase is wrong", told)
        self.assertNotIn("as root", told)
        octets = file.read_bytes()
        for name, content in (("cut", octets[:-1]), ("half", octets[:len(octets) // 2]),
                              ("bit", octets[:2000] + bytes([octets[2000] ^ 1]) + octets[2001:])):
            (self.scratch / name).write_bytes(content)
            done = self.restore(relay, self.scratch / name, "--replace", check=False)
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("damaged or cut off", done.stderr)
        (self.scratch / "other").write_bytes(b"no backup at all" * 100)
        self.assertIn("no backup of Postern", self.restore(relay, self.scratch / "other", "--replace", check=False).stderr)
        self.assertEqual(self.snapshot(relay.directory), before)

    def test_what_cannot_be_in_one_is_refused_with_its_place(self):
        relay = self.moveable_relay(self.start_upstream())
        relay.configuration.write_text(relay.text.replace('"secrets/provider"', json.dumps(str(self.scratch / "elsewhere"))))
        done = self.back_up(relay, self.scratch / "b.backup", check=False)
        self.assertRegex(done.stderr, r"postern\.toml:\d+:\d+: password_file")
        self.assertFalse((self.scratch / "b.backup").exists())
        relay.configuration.write_text(relay.text)
        self.assertIn("12 to 256 octets", relay.postern("backup", self.scratch / "b.backup", "--passphrase-stdin", text="short\n",
                                                        check=False).stderr)
        told = json.loads(relay.postern("--json", "backup", self.scratch / "b.backup", "--make-passphrase").stdout)
        self.assertEqual(len(told["passphrase"]), 16)
        self.assertIn("there already", self.back_up(relay, self.scratch / "b.backup", check=False).stderr)
        moved = self.moved(relay)
        umask = os.umask(0o077)  # as the box's supervisor sets it; the relay must get in all the same
        self.addCleanup(os.umask, umask)
        self.restore(moved, self.scratch / "b.backup", passphrase=told["passphrase"])
        self.assertEqual(moved.directory.stat().st_mode & 0o777, 0o750)
        self.assertEqual((moved.directory / "secrets/provider").read_bytes(), (relay.directory / "secrets/provider").read_bytes())
        self.assertEqual((moved.directory / "secrets/provider").stat().st_mode & 0o777, 0o600)


class Erase(BackupTest):
    def test_keys_are_overwritten_and_the_report_says_what_to_revoke(self):
        upstream = self.start_upstream("connect:421 4.3.2 not yet")
        relay = self.moveable_relay(upstream)
        fingerprint = json.loads(relay.postern("--json", "tls", "authority").stdout)["fingerprint"]
        relay.start()
        relay.submit(simple_message("doomed", LARGE).encode())
        words = ("erase", "--yes-erase-everything", "relay.office.example")
        self.assertIn("the relay runs", relay.postern(*words, check=False).stderr)
        relay.kill()
        before = self.snapshot(relay.directory)
        for wrong in (("erase",), ("erase", "--yes-erase-everything", "other.office.example")):
            done = relay.postern(*wrong, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--yes-erase-everything relay.office.example", done.stderr)
        shown = relay.postern("erase", "--show").stdout
        self.assertEqual({name: facts for name, facts in self.snapshot(relay.directory).items() if name != "log"},
                         {name: facts for name, facts in before.items() if name != "log"})

        missing = relay.postern(*words, "--authority", self.scratch / "nowhere", check=False)
        self.assertIn("Nothing was erased", missing.stderr)
        self.assertTrue((relay.directory / "state/queue.key").exists())

        # Open files show what stays behind on the medium.
        kept = {}
        doomed = ["state/queue.key", "state/queue.db", "secrets/provider", "tls/authority.key", "postern.toml"]
        doomed += [str(path.relative_to(relay.directory)) for path in (relay.directory / "dkim").iterdir()]
        doomed += [name for name in before if name.startswith("tls/relay-")]
        for name in doomed:
            kept[name] = self.enterContext(open(relay.directory / name, "rb"))
        (relay.directory / "state/replaced-T").mkdir()
        (relay.directory / "state/replaced-T/queue.key").write_bytes(bytes(range(32)))
        (relay.directory / "state/stranger").write_text("not ours")
        told = relay.postern(*words).stdout
        for name in doomed:
            octets = kept[name].read()
            self.assertEqual(octets, bytes(len(octets)), name)
            self.assertFalse((relay.directory / name).exists(), name)
        left = {path.relative_to(relay.directory).as_posix() for path in relay.directory.rglob("*") if path.is_file()}
        self.assertEqual(left - {"log", "control"}, {"state/lock", "state/reserve", "state/stranger"})
        self.assertIn("state/stranger", told)
        for text in (shown, told):
            for record in relay.records:
                self.assertIn(record, text)
            for word in ("localhost: give user relay@office.example", fingerprint, "device of user copier-2"):
                self.assertIn(word, text)
        self.assertIn("flash medium", told)
        self.assertIn("backups: destroy them", told)

    def test_one_that_was_interrupted_is_run_again_and_what_is_left_is_told(self):
        relay = self.moveable_relay(self.start_upstream())
        relay.start()
        relay.stop()
        # As a power cut leaves it: the main file is the last to go.
        for name in ("state/queue.key", "secrets/provider"):
            (relay.directory / name).unlink()
        (self.scratch / "elsewhere").write_text("secret")
        (relay.directory / "tls/linked.key").symlink_to(self.scratch / "elsewhere")
        (relay.directory / "users.d").mkdir(mode=0o700)
        (relay.directory / "users.d/broken.toml").write_text("[[[")
        done = relay.postern("erase", "--yes-erase-everything", "relay.office.example", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("linked.key: it is a link", done.stderr)
        self.assertIn("could not be read", done.stdout)
        self.assertFalse(relay.configuration.exists())
        self.assertEqual((self.scratch / "elsewhere").read_text(), "secret")
