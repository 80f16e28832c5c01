"""Flipped bits in the database, its log and the spool: what arrives is what was sent, and damage is told.

A flip is met by one of these: the relay refuses to start and says why; the message is quarantined with an alarm in the
log; or the flip fell on room that holds nothing, and all is well. Never: other octets or another recipient than sent.
"""

import random
import shutil
import tempfile

import settings
from killable import KillableRelay
from relay import upstream_table
from support import InteropTest, simple_message

NOT_YET = "connect:421 4.3.2 not yet"
FLIPS = 30
SMALL_MESSAGES = 6
ALARMS = ("message-quarantined", "storage-failed", "storage-dead", "message-not-loaded", "queue-not-loaded",
          "log-damaged")


def flip_bit(path, chance, offset=None):
    octets = bytearray(path.read_bytes())
    place = chance.randrange(len(octets)) if offset is None else offset
    octets[place] ^= 1 << chance.randrange(8)
    path.write_bytes(octets)
    return place


class Damage(InteropTest):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(settings.seed)
        self.upstream = self.start_upstream(NOT_YET)
        self.relay = KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                                   [upstream_table(self.upstream.port, self.authority.ca_file)])
        self.addCleanup(self.relay.kill)
        self.sent = {}  # recipient: octets

    def submit(self, number, body_bytes):
        line = f"{number} {'x' * 68}"[:70] + "\r\n"
        recipient = f"recipient-{number}@far.example"
        content = simple_message(f"number {number}", line * (body_bytes // 72), to=recipient).encode()
        self.relay.submit(content, [recipient])
        self.sent[recipient] = content

    def fill(self, messages, body_bytes):
        self.relay.start()
        for number in range(messages):
            self.submit(number, body_bytes)

    def keep_state(self):
        kept = self.relay.directory / "kept"
        shutil.copytree(self.relay.state, kept)
        return kept

    def restore_state(self, kept):
        shutil.rmtree(self.relay.state)
        shutil.copytree(kept, self.relay.state)
        self.upstream.messages.clear()

    def missing_after_a_life(self):
        """Starts the relay, lets it deliver what it can, and gives who got nothing; None when it did not start."""
        try:
            self.relay.start()
        except AssertionError as error:
            self.assertIn("ended with 1 ", str(error))
            self.assertRegex(self.relay.log(), r"posternd: .*queue\.db")
            return None
        self.relay.wait_for_queue(lambda all_: all(each["quarantined"] for each in all_), "empty but for damage", 30)
        self.assert_unaltered()
        self.relay.stop()
        got = {address for message in self.upstream.accepted() for address, _ in message.recipients}
        return sorted(set(self.sent) - got)

    def assert_unaltered(self):
        for message in self.upstream.accepted():
            if message.mail_from == "":
                continue  # a report about the damage
            for address, _ in message.recipients:
                self.assertIn(address, self.sent, "a recipient that nobody named")
                self.assertTrue(message.content.endswith(self.sent[address]), f"altered for {address}")

    def alarms_since(self, begun):
        log = self.relay.log()[begun:]
        return [alarm for alarm in ALARMS if f"event={alarm}" in log]

    def flip_many(self, name):
        """Each flip by itself, on a copy of the same state. How many were told."""
        kept, told = self.keep_state(), 0
        self.upstream.faults.clear()
        for _ in range(FLIPS):
            self.restore_state(kept)
            place = flip_bit(self.relay.state / name, self.chance)
            begun = len(self.relay.log())
            missing = self.missing_after_a_life()
            if missing is None or self.alarms_since(begun):
                told += 1
            else:
                self.assertEqual(missing, [], f"a flip at {place} of {name} lost mail without a word")
        return told

    def test_in_a_spool_file_it_is_quarantined_with_an_alarm(self):
        self.fill(6, 400_000)
        bodies = sorted((self.relay.state / "spool").iterdir())
        self.relay.kill()
        size = bodies[0].stat().st_size
        # The stream's header, its first chunk, the middle, the last chunk and its very end; one stays whole.
        for body, place in zip(bodies, (0, 30, size // 2, size - 40_000, size - 1)):
            flip_bit(body, self.chance, place)
        self.upstream.faults.clear()
        begun = len(self.relay.log())
        missing = self.missing_after_a_life()
        self.assertEqual(len(missing), 5)
        self.assertEqual(self.relay.log()[begun:].count("event=message-quarantined"), 5)
        self.assert_told([body.name.removesuffix(".body") for body in bodies[:5]])

    def assert_told(self, queue_ids):
        """After our 250 the mail arrives or a person learns why: each by a report of its own."""
        reports = [message.content for message in self.upstream.accepted() if message.mail_from == ""]
        self.assertEqual(len(reports), len(queue_ids))
        for queue_id in queue_ids:
            self.assertTrue(any(queue_id.encode() in report for report in reports), queue_id)

    def test_in_an_envelope_mail_goes_to_nobody_else_and_a_person_is_told(self):
        self.fill(SMALL_MESSAGES, 5_000)
        queue_ids = [waiting["id"] for waiting in self.relay.queue()]
        self.relay.stop()
        kept = self.keep_state()
        self.upstream.faults.clear()
        # Each is an address or a user as good as the one that was stored.
        for stored, changed in ((b"recipient-", b"secipient-"), (b"copier-2scan@office", b"copier-2rcan@office"),
                                (b"copier-2scan@office", b"copier-3scan@office")):
            self.restore_state(kept)
            database = self.relay.state / "queue.db"
            octets = database.read_bytes()
            self.assertGreaterEqual(octets.count(stored), SMALL_MESSAGES)
            database.write_bytes(octets.replace(stored, changed))
            begun = len(self.relay.log())
            self.assertEqual(self.missing_after_a_life(), sorted(self.sent))
            self.assertEqual(self.relay.log()[begun:].count("event=message-quarantined"), SMALL_MESSAGES)
            self.assert_told(queue_ids)

    def test_in_the_database_nothing_is_delivered_altered_or_lost_in_silence(self):
        self.fill(SMALL_MESSAGES, 20_000)
        self.relay.stop()
        told = self.flip_many("queue.db")
        settings.say(f"{FLIPS} bits flipped in the database: {told} told, {FLIPS - told} on empty room")
        self.assertGreater(told, FLIPS // 4)

    def test_in_the_log_nothing_is_delivered_altered_or_lost_in_silence(self):
        self.fill(SMALL_MESSAGES, 20_000)
        # Damage within the very last commit looks like a power cut: let that be one without a message.
        self.relay.wait_for_queue(lambda all_: all(each["attempts"] for each in all_), "all tried once")
        self.relay.kill()
        told = self.flip_many("queue.db-wal")
        settings.say(f"{FLIPS} bits flipped in the log: {told} told")
        self.assertGreater(told, FLIPS // 4)
