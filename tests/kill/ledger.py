"""What the clients were told and what the upstream got: the two sides of the promise.

Promise (RFC 5321 section 4.2.5): a message that was answered 250 arrives, octet for octet; one that was refused never
does; one whose answer was lost with the connection may, because its client cannot know either. A message comes twice
only when it was on its way at a kill. verdict() lists everything that breaks this.
"""

import base64
import collections
import dataclasses
import hashlib
import random
import re
import threading
import time

from relay import SENDER
from upstream import Upstream

# The time between the upstream's 250 and the commit that records it; a busy machine makes it long.
IN_FLIGHT_SECONDS_MAX = 3.0
# A message that was sent whole before the kill may be read by the upstream after it.
LATE_READING_SECONDS_MAX = 1.0
# Two for each of the four connections to the upstream (relay/delivery/delivery_engine.hpp), and what these finished
# while the last commit was gathered and synced.
IN_FLIGHT_MAX = 24
SUBJECT = re.compile(rb"^Subject: load (\d+)\r$", re.MULTILINE)


@dataclasses.dataclass
class Sent:
    bytes: int
    digest: bytes
    answer: str = "unknown"  # or "taken", "refused"


@dataclasses.dataclass
class Arrival:
    number: int
    time: float
    exact: bool


def choose_bytes(chance):
    """Mostly small, some that fill the log, some that go to the spool (more than 256 KiB)."""
    kind = chance.random()
    if kind < 0.60:
        return chance.randrange(100, 6_000)
    if kind < 0.85:
        return chance.randrange(40_000, 200_000)
    return chance.randrange(280_000, 600_000)


class Ledger:
    def __init__(self):
        self.sent = {}
        self.arrivals = []
        self.deaths = []
        self.strangers = 0  # what arrived and was never sent
        self._lock = threading.Lock()

    def new_message(self, chance: random.Random):
        """(number, octets) of a message that no other resembles."""
        lines = base64.encodebytes(chance.randbytes(choose_bytes(chance) * 3 // 4)).replace(b"\n", b"\r\n")
        with self._lock:
            number = len(self.sent) + 1
            content = (f"From: {SENDER}\r\nTo: anna@far.example\r\nSubject: load {number}\r\n"
                       f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <load-{number}@copier.office.example>\r\n"
                       "\r\n").encode() + lines
            self.sent[number] = Sent(len(content), hashlib.sha256(content).digest())
        return number, content

    def answered(self, number, taken):
        self.sent[number].answer = "taken" if taken else "refused"

    def arrived(self, content):
        """The relay puts its own fields before the client's octets (RFC 5321 section 4.4), and changes none of them."""
        found = SUBJECT.search(content[:8192])
        sent = self.sent.get(int(found[1])) if found else None
        with self._lock:
            if sent is None:
                self.strangers += 1
            else:
                exact = hashlib.sha256(content[-sent.bytes:]).digest() == sent.digest
                self.arrivals.append(Arrival(int(found[1]), time.monotonic(), exact))

    def died(self):
        self.deaths.append(time.monotonic())

    def missing(self):
        """Answered 250 and not at the upstream."""
        there = {arrival.number for arrival in self.arrivals}
        return sorted(number for number, sent in self.sent.items() if sent.answer == "taken" and number not in there)

    def count(self, answer):
        return sum(sent.answer == answer for sent in self.sent.values())

    def verdict(self, waiting=0):
        """Everything that is wrong, once the relay came to rest with `waiting` messages still in its queue."""
        wrong = []
        if len(self.missing()) > waiting:
            wrong.append(f"answered 250 and lost: {self.missing()}")
        if self.strangers:
            wrong.append(f"{self.strangers} messages arrived that nobody sent")
        altered = sorted({arrival.number for arrival in self.arrivals if not arrival.exact})
        if altered:
            wrong.append(f"altered: {altered}")
        refused = sorted({each.number for each in self.arrivals if self.sent[each.number].answer == "refused"})
        if refused:
            wrong.append(f"refused and yet delivered: {refused}")
        return wrong + self._judge_duplicates()

    def duplicates(self):
        """(number, first arrival, next arrival) of each message that came again."""
        times = collections.defaultdict(list)
        for arrival in self.arrivals:
            times[arrival.number].append(arrival.time)
        return [(number, first, after) for number, all_ in times.items()
                for first, after in zip(all_, all_[1:])]

    def _judge_duplicates(self):
        wrong, at_death = [], collections.Counter()
        for number, first, after in self.duplicates():
            deaths = [death for death in self.deaths if first - LATE_READING_SECONDS_MAX <= death <= after]
            if not deaths:
                wrong.append(f"message {number} came twice with no kill between")
            elif deaths[0] - first > IN_FLIGHT_SECONDS_MAX:
                wrong.append(f"message {number} came again {deaths[0] - first:.1f} s of life after its first arrival")
            else:
                at_death[deaths[0]] += 1
        wrong += [f"{count} duplicates by one kill; {IN_FLIGHT_MAX} can be in flight"
                  for count in at_death.values() if count > IN_FLIGHT_MAX]
        return wrong


class LedgerUpstream(Upstream):
    """The scripted upstream, which remembers of each message only whether it was the right one: there are thousands."""

    def __init__(self, ledger, *arguments, **settings):
        self.ledger = ledger
        super().__init__(*arguments, **settings)

    def record(self, message):
        if message.accepted:
            self.ledger.arrived(message.content)
            with self._changed:
                self._changed.notify_all()

    def note_command(self, connection, in_tls, line):
        del connection, in_tls, line
