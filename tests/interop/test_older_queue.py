"""Queues as released versions left them: today's relay delivers every message of theirs, with its envelope.

A folder queue_of_VERSION beside this file holds such a state directory and, in mail.json, what was sent; its key guards test
mail alone. The schema of the tables is guarded where they are made (storage/database_schema.cpp); this shows what no schema
tells: the texts inside the rows, the seal, the spool files, the key's file.

At a release: /usr/bin/python3 -B tests/interop/test_older_queue.py makes its folder, with the programs of POSTERN_BUILD. A folder
that is here is never made again.
"""

import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import sqlite3
import time
import unittest

from support import InteropTest, SENDER, body_of, simple_message

HERE = pathlib.Path(__file__).resolve().parent
DSN = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
LARGE = "".join(f"line {number} of a large scan\r\n" for number in range(11_000))  # more than a row takes: a spool file


def version():
    text = (HERE.parent.parent / "CMakeLists.txt").read_text()
    return re.search(r"project\(postern VERSION ([0-9.]+)", text)[1].replace(".", "_")


def facts_of(mail_from, mail_options, recipients, content):
    """recipients: (address, parameters), as an upstream with DSN sees them."""
    return {"mail_from": mail_from, "mail_parameters": sorted(mail_options), "recipients": sorted(map(list, recipients)),
            "body": hashlib.sha256(body_of(content)).hexdigest()}


def facts_of_taken(message):
    options = [word for word in message.mail_parameters.split() if not word.startswith("SIZE=")]
    return facts_of(message.mail_from, options, [(address, parameters) for address, parameters in message.recipients],
                    message.content)


class AnOlderQueue(InteropTest):
    def test_its_mail_arrives_with_its_envelope(self):
        folders = sorted(HERE.glob("queue_of_*"))
        self.assertIn(f"queue_of_{version()}", [folder.name for folder in folders], "this release keeps one too; see above")
        for folder in folders:
            with self.subTest(folder.name):
                self.check(folder)

    def check(self, folder):
        sent = json.loads((folder / "mail.json").read_text())
        upstream = self.start_upstream(capabilities=DSN)
        relay = self.relay_to(upstream)
        state = relay.directory / "state"
        shutil.copytree(folder / "state", state)
        for file in [state, *state.rglob("*")]:
            file.chmod(0o700 if file.is_dir() else 0o600)
        [database] = state.glob("*.db")
        with contextlib.closing(sqlite3.connect(database)) as queue, queue:  # it did not wait for years
            queue.execute("UPDATE message SET received_ms = ?, next_attempt_ms = 0", (int(time.time() * 1000),))
        with relay:
            upstream.wait(len(sent) - 1)
            [held] = relay.wait_for_queue(lambda queue: len(queue) == 1, "the held one alone")
            self.assertTrue(held["held"])
            relay.postern("queue", "release", held["id"])
            upstream.wait(len(sent))
            relay.wait_until_queue_is_empty()
        self.assertEqual(sorted(map(facts_of_taken, upstream.accepted()), key=json.dumps), sent)


class Maker(InteropTest):
    """Not found by the runner: it looks for tests by their names."""

    def make(self, folder):
        folder.mkdir()
        upstream = self.start_upstream("rcpt<away@far.example>:451 4.7.1 later", "mail:451 4.7.1 later:1000", capabilities=DSN)
        sent = []

        def submit(subject, mail_options, recipients, body="Hello from the copier.\r\n"):
            content = simple_message(subject, body).encode()
            with relay.connect() as client:
                code, said = client.mail(SENDER, list(mail_options))
                self.assertEqual(code, 250, said)
                for address, parameters in recipients:
                    code, said = client.rcpt(address, parameters.split())
                    self.assertEqual(code, 250, said)
                client.data(content)
            sent.append(facts_of(SENDER, mail_options, recipients, content))

        with self.relay_to(upstream, queue={"retry_delay_min": "1h", "retry_delay_max": "2h"}) as relay:
            submit("plain", (), [("anna@far.example", "")])
            submit("receipt", ("RET=HDRS", "ENVID=QQ+2B314159"),
                   [("anna@far.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Anna+2Bscan@far.example"),
                    ("bob@far.example", "NOTIFY=NEVER")])
            submit("eight", ("BODY=8BITMIME", "SMTPUTF8"), [("jürgen@far.example", "")], "Grüße vom Kopierer.\r\n")
            submit("large", (), [("anna@far.example", "")], LARGE)
            relay.wait_for_queue(lambda queue: all(each["last_error"] for each in queue), "every message tried")
            upstream.faults = [fault for fault in upstream.faults if fault.stage == "rcpt"]
            submit("half", (), [("anna@far.example", ""), ("away@far.example", "")])
            upstream.wait(1)
            sent[-1]["recipients"] = [["away@far.example", ""]]
            submit("held", (), [("away@far.example", "")])
            queue = relay.wait_for_queue(lambda queue: all(each["last_error"] for each in queue), "every message tried")
            relay.postern("queue", "hold", max(each["id"] for each in queue))
        # The other two files are empty, or nothing but room.
        shutil.copytree(relay.directory / "state", folder / "state", ignore=shutil.ignore_patterns("lock", "reserve"))
        (folder / "mail.json").write_text(json.dumps(sorted(sent, key=json.dumps), indent=1) + "\n")


if __name__ == "__main__":
    Maker.setUpClass()
    maker = Maker("make")
    maker.setUp()
    try:
        maker.make(HERE / f"queue_of_{version()}")
    finally:
        maker.doCleanups()
        Maker.doClassCleanups()
