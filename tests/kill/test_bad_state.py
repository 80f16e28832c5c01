"""A state directory that cannot be used as it is: a clear sentence, an exit code, and nothing lost."""

import smtplib
import sqlite3
import tempfile
import time

from killable import KillableRelay
from relay import SENDER, upstream_table
from support import InteropTest, simple_message

NOT_YET = "connect:421 4.3.2 not yet"
STORED_BYTES = 5_000
SCHEMA_VERSION = 3  # storage/database.hpp
RESERVE_BYTES = 24 * 1024 * 1024  # storage/reserve.hpp
JUDGED_SECONDS_MAX = 1.0  # MAIL is judged by what was measured within the last second


class BadState(InteropTest):
    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(NOT_YET)
        self.relay = KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                                   [upstream_table(self.upstream.port, self.authority.ca_file)])
        self.addCleanup(self.relay.unmount)
        self.addCleanup(self.relay.kill)
        self.database = self.relay.state / "queue.db"

    def submit(self, name, body_bytes=STORED_BYTES):
        body = "".join(f"{name} {'x' * 70}\r\n" for _ in range(body_bytes // 72))
        self.relay.submit(simple_message(name, body).encode())

    def fill_and_stop(self):
        self.relay.start()
        self.submit("kept")
        self.relay.stop()

    def assert_refused(self, words):
        status, said = self.relay.refuses_to_start()
        self.assertEqual(status, 1, said)
        self.assertIn(words, said)
        self.assertIn(str(self.relay.state), said)  # where

    def assert_all_arrive(self, *names, stop=True):
        self.upstream.faults.clear()
        if self.relay._process is None:  # pylint: disable=protected-access
            self.relay.start()
        arrived = self.upstream.wait(len(names), 30)
        for name in names:
            self.assertTrue(any(f"Subject: {name}\r\n".encode() in message.content for message in arrived), name)
        if stop:
            self.relay.stop()

    def change_database(self, statement):
        connection = sqlite3.connect(self.database)
        connection.execute(statement)
        connection.commit()
        connection.close()

    def test_a_queue_of_a_newer_or_an_unreadably_old_version_is_left_as_it_is(self):
        self.fill_and_stop()
        self.change_database("PRAGMA user_version = 99")
        self.change_database("PRAGMA application_id = 99")  # the oldest that may open it
        before = self.database.read_bytes()
        self.assert_refused("written by a newer Postern (schema 99")
        self.assertEqual(self.database.read_bytes(), before)
        self.change_database("PRAGMA user_version = 1")
        self.assert_refused("written by an older Postern (schema 1")
        self.change_database(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self.assert_all_arrive("kept")

    def test_a_file_that_is_no_database_is_left_as_it_is(self):
        self.fill_and_stop()
        aside = self.database.rename(self.relay.directory / "aside.db")
        self.database.write_bytes(b"Dear Sir or Madam,\n" * 1000)
        self.database.chmod(0o600)
        self.assert_refused("is no database")
        self.assertEqual(self.database.read_bytes(), b"Dear Sir or Madam,\n" * 1000)
        aside.rename(self.database)
        self.assert_all_arrive("kept")

    def test_a_database_of_another_program_is_left_as_it_is(self):
        self.relay.state.mkdir(mode=0o700)
        self.change_database("CREATE TABLE recipe (name TEXT)")
        self.database.chmod(0o600)
        before = self.database.read_bytes()
        self.assert_refused("database of another program")
        self.assertEqual(self.database.read_bytes(), before)

    def test_a_folder_in_the_databases_place_is_told(self):
        self.relay.state.mkdir(mode=0o700)
        self.database.mkdir()
        self.assert_refused("queue.db")

    def test_a_state_directory_on_a_read_only_medium_is_told(self):
        self.fill_and_stop()
        state = self.relay.state
        self.relay.mount(f"mount --bind {state} {state}\nmount -o remount,ro,bind {state}")
        self.assert_refused("ead-only")
        self.relay.unmount()
        self.assert_all_arrive("kept")

    def test_a_state_directory_that_others_can_enter_is_told(self):
        self.fill_and_stop()
        self.relay.state.chmod(0o755)
        self.assert_refused("chmod")
        self.relay.state.chmod(0o700)
        self.assert_all_arrive("kept")

    def test_a_full_medium_at_the_start_is_told(self):
        state = self.relay.state
        state.mkdir(mode=0o700)
        self.relay.mount(f"mount -t tmpfs -o size=64k,mode=700 tmpfs {state}\n"
                         f"dd if=/dev/zero of={state}/filler bs=4096 2>/dev/null || true")
        self.assert_refused("room")

    def start_on_small_medium(self, mebibytes):
        self.relay.state.mkdir(mode=0o700)
        self.relay.mount(f"mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs {self.relay.state}")
        self.relay.start()

    def submit_until_refused(self):
        names = []
        with self.assertRaises(smtplib.SMTPResponseException) as refused:
            for number in range(1000):
                self.submit(f"number {number}", 500_000 if number % 2 else 100_000)
                names.append(f"number {number}")
        self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error[:5]), (452, b"4.3.1"))
        self.assertGreater(len(names), 10)
        return names

    def fill_by_another_program(self):
        """To the last octet; gives the file that does it."""
        filler = self.relay.seen_by_relay(self.relay.state / "filler")
        with self.assertRaises(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        return filler

    def answer_to_mail(self):
        with self.relay.connect() as client:
            return client.mail(SENDER)

    def assert_drains(self, *names):
        """By the relay that runs, and no other."""
        process = self.relay.pid
        self.assert_all_arrive(*names, stop=False)
        self.relay.wait_until_queue_is_empty()
        self.assertEqual(self.relay.pid, process)
        for alarm in ("event=storage-failed", "event=storage-dead"):
            self.assertNotIn(alarm, self.relay.log())

    def test_a_medium_that_fills_up_is_answered_452_and_the_queue_still_drains(self):
        self.start_on_small_medium(48)
        self.assert_drains(*self.submit_until_refused())
        self.relay.stop()

    def test_on_a_medium_that_another_program_fills_to_the_last_octet_the_queue_drains(self):
        self.start_on_small_medium(48)
        names = self.submit_until_refused()
        filler = self.fill_by_another_program()
        time.sleep(3)  # attempts want to be recorded
        self.assertEqual(self.answer_to_mail()[0], 452)
        self.assert_drains(*names)
        self.assertTrue(filler.exists())
        self.relay.stop()

    def test_the_reserve_is_used_when_the_log_has_no_room_and_is_made_again_when_there_is(self):
        self.start_on_small_medium(48)
        reserve = self.relay.seen_by_relay(self.relay.state / "reserve")
        self.assertGreaterEqual(reserve.stat().st_blocks * 512, RESERVE_BYTES)
        names = [f"small {number}" for number in range(5)]
        for name in names:
            self.submit(name)
        filler = self.fill_by_another_program()
        time.sleep(JUDGED_SECONDS_MAX)
        answer = self.answer_to_mail()
        self.assertEqual((answer[0], answer[1][:5]), (452, b"4.3.1"), "the disk filled up without us")
        self.assert_drains(*names)
        self.relay.wait_for_log("event=reserve-missing")
        self.assertFalse(reserve.exists())
        self.assertEqual(self.answer_to_mail()[0], 452, "the room that was set free is not for new mail")
        filler.unlink()
        time.sleep(JUDGED_SECONDS_MAX)
        self.assertEqual(self.answer_to_mail()[0], 250)
        self.relay.wait_for_log("event=reserve-held")
        self.assertTrue(reserve.exists())
        self.upstream.messages.clear()
        self.submit("after all that")
        self.assert_drains("after all that")
        self.relay.stop()

    def test_a_relay_killed_on_a_full_medium_starts_on_it_and_drains(self):
        self.start_on_small_medium(48)
        names = self.submit_until_refused()
        self.fill_by_another_program()
        self.relay.kill()
        self.relay.start()
        self.assert_drains(*names)
        self.relay.stop()


class SpoolFileGone(InteropTest):
    """A body that a person or a file system repair removed."""

    def setUp(self):
        super().setUp()
        self.upstream = self.start_upstream(NOT_YET)
        self.relay = KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                                   [upstream_table(self.upstream.port, self.authority.ca_file)])
        self.addCleanup(self.relay.kill)
        self.relay.start()
        for name in ("taken away", "left alone"):
            self.relay.submit(simple_message(name, f"{name}\r\n" * 40_000).encode())
        first = min((self.relay.state / "spool").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        self.name, self.body = first.name.removesuffix(".body"), first

    def assert_quarantined(self):
        self.upstream.wait_for(lambda: self.arrived("left alone"), 20, "the undamaged message")
        waiting = self.relay.wait_for_queue(lambda all_: len(all_) == 1 and all_[0]["quarantined"],
                                            "one left, quarantined")
        self.assertEqual(waiting[0]["id"], self.name)
        self.relay.wait_for_log(f"event=message-quarantined queue_id={self.name}")
        self.assertFalse(self.arrived("taken away"))
        reports = [message for message in self.upstream.accepted() if message.mail_from == ""]
        self.assertEqual(len(reports), 1)
        self.assertIn(self.name.encode(), reports[0].content)
        self.relay.stop()

    def arrived(self, name):
        """Whether the message itself came; a report about it has another From."""
        begin = f"From: {SENDER}\r\n".encode()
        return any(begin in message.content.partition(b"\r\n\r\n")[0] + b"\r\n" and
                   f"Subject: {name}\r\n".encode() in message.content for message in self.upstream.accepted())

    def test_while_the_relay_runs_it_is_quarantined_and_told(self):
        self.body.unlink()
        self.upstream.faults.clear()
        self.assert_quarantined()

    def test_while_the_relay_is_down_it_is_quarantined_and_told(self):
        self.relay.kill()
        self.body.unlink()
        self.upstream.faults.clear()
        self.relay.start()
        self.assert_quarantined()

    def test_one_cut_short_is_quarantined_and_told(self):
        self.relay.kill()
        with open(self.body, "r+b") as file:
            file.truncate(1_000)
        self.upstream.faults.clear()
        self.relay.start()
        self.assert_quarantined()


class Sizes(InteropTest):
    """Messages at every size where something changes: at it, one below, one above."""

    LIMIT = 1_000_000

    def test_every_border_between_a_row_and_a_file_is_passed_unharmed(self):
        upstream = self.start_upstream()
        chunk, in_row = 65_536, 262_144
        # A sealed body is 24 octets longer, and 17 for each chunk (crypto/sealed_body.hpp).
        borders = [1, chunk, 2 * chunk, in_row, in_row - 24 - 4 * 17, in_row - 24 - 5 * 17]
        sizes = sorted({size for border in borders for size in (border - 1, border, border + 1) if size != 1})
        bodies = [exact_body(size) for size in sizes]
        with self.new_relay(upstream) as relay:
            for size, body in zip(sizes, bodies):
                relay.submit(simple_message(f"size {size}", body).encode())
            arrived = upstream.wait(len(sizes), 60)
        for size, body in zip(sizes, bodies):
            want = simple_message(f"size {size}", body).encode()
            self.assertTrue(any(message.content.endswith(want) for message in arrived), size)

    def test_the_largest_message_is_taken_and_one_octet_more_is_not(self):
        upstream = self.start_upstream()
        with self.new_relay(upstream, limits={"message_bytes_max": self.LIMIT}) as relay:
            empty = len(simple_message("border", "").encode())
            taken = [simple_message("border", exact_body(self.LIMIT - empty - less)).encode() for less in (1, 0)]
            too_long = simple_message("border", exact_body(self.LIMIT - empty + 1)).encode()
            self.assertEqual([len(each) for each in (*taken, too_long)],
                             [self.LIMIT - 1, self.LIMIT, self.LIMIT + 1])
            for message in taken:
                relay.submit(message)
            with relay.connect() as client:
                self.assertEqual(client.mail(SENDER, [f"SIZE={self.LIMIT}"])[0], 250)
                client.rset()
                self.assertEqual(client.mail(SENDER, [f"SIZE={self.LIMIT + 1}"])[0], 552)
                # Without SIZE it is found out at its end (RFC 1870 section 6.3).
                self.assertEqual(client.mail(SENDER)[0], 250)
                self.assertEqual(client.rcpt("anna@far.example")[0], 250)
                self.assertEqual(client.data(too_long)[0], 552)
            arrived = upstream.wait(2, 30)
            relay.wait_until_queue_is_empty()
        self.assertEqual(len(arrived), 2)
        for message in taken:
            self.assertTrue(any(each.content.endswith(message) for each in arrived))

    def new_relay(self, upstream, **settings):
        return KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                             [upstream_table(upstream.port, self.authority.ca_file)], **settings)


def exact_body(octets):
    """Lines of 72 octets and one shorter, CRLF at each end: exactly so many octets (never 1: a CRLF takes two)."""
    if octets == 0:
        return ""
    lines, rest = divmod(octets, 72)
    if rest == 1:
        lines, rest = lines - 1, 73
    return ("y" * 70 + "\r\n") * lines + ("z" * (rest - 2) + "\r\n" if rest else "")
