"""kill -9 under load, at random moments and at named points, round after round.

After the last kill the relay is started once more and empties its queue; then the ledger is closed: all that was
answered 250 is at the upstream with its exact octets.
"""

import collections
import itertools
import random
import tempfile

import settings
from killable import CHECKPOINT_POINTS, LOG_PAGES_COPIED_BACK, POINTS, KillableRelay, log_pages
from ledger import Ledger, LedgerUpstream
from load import Load
from relay import upstream_table
from support import InteropTest

LIFE_SECONDS = (0.03, 0.7)
POINT_SECONDS_MAX = 1.5  # a point that was not reached until then: an ordinary kill
CHECKPOINT_SECONDS_MAX = 6.0
LOG_IS_NEARLY_FULL = LOG_PAGES_COPIED_BACK * 8 // 10
DRAIN_SECONDS_MAX = 120
ALL_POINTS = POINTS + CHECKPOINT_POINTS


class Kills(InteropTest):
    checkpoint_points = itertools.cycle(CHECKPOINT_POINTS)

    def test_nothing_acknowledged_is_lost(self):
        ledger, self.slowest, self.met = Ledger(), 0.0, collections.Counter()
        chance = random.Random(settings.seed)
        upstream = LedgerUpstream(ledger, tempfile.mkdtemp(dir=self.scratch), self.certificate, self.private_key,
                                  faults=["rcpt:451 4.7.1 later:200"])
        self.addCleanup(upstream.stop)
        relay = KillableRelay(tempfile.mkdtemp(dir=self.scratch), self.authority,
                              [upstream_table(upstream.port, self.authority.ca_file)])
        self.addCleanup(relay.kill)
        with Load(relay, ledger, settings.seed) as load:
            for number in range(settings.rounds):
                self.live(relay, ledger, chance, self.choose_point(relay, number) if number % 2 else None)
        self.drain(relay, ledger, upstream)
        self.tell(ledger)
        self.assertEqual(ledger.verdict(), [], f"replay the kills with --seed {settings.seed}")
        self.assertEqual(load.unexpected, [])
        self.assertEqual(list((relay.state / "spool").iterdir()), [])
        self.assertGreater(ledger.count("taken"), settings.rounds)
        if settings.rounds >= 10 * len(POINTS):  # else the luck of the draw
            self.assertEqual({point.name for point in ALL_POINTS} - set(self.met), set(), "points that were never met")

    def choose_point(self, relay, number):
        """A log that is nearly full is copied back soon: time for the points that are met only then, in turn."""
        if log_pages(relay.state / "queue.db-wal") < LOG_IS_NEARLY_FULL:
            return POINTS[number // 2 % len(POINTS)]
        return next(self.checkpoint_points)

    def live(self, relay, ledger, chance, point):
        nth = chance.randint(*point.calls) if point else 0
        life_seconds = chance.uniform(*LIFE_SECONDS)
        ready_seconds = relay.start(point, nth)
        if point is None:
            self.slowest = max(self.slowest, ready_seconds)
            self.assertLess(ready_seconds, settings.ready_seconds_max)
        if point:
            life_seconds = CHECKPOINT_SECONDS_MAX if point in CHECKPOINT_POINTS else POINT_SECONDS_MAX
        met = ready_seconds is None or relay.died_within(life_seconds)
        self.assertFalse(met and point is None, "the relay died by itself")
        if met:
            self.met[point.name] += 1
        relay.kill()
        ledger.died()

    def drain(self, relay, ledger, upstream):
        upstream.faults.clear()
        relay.start()
        upstream.wait_for(lambda: not ledger.missing(), DRAIN_SECONDS_MAX, "the last of what was answered 250")
        relay.wait_until_queue_is_empty(DRAIN_SECONDS_MAX)
        relay.stop()

    def tell(self, ledger):
        settings.say(f"{settings.rounds} kills; {ledger.count('taken')} messages answered 250, "
                     f"{ledger.count('unknown')} in flight, {ledger.count('refused')} refused; "
                     f"{len(ledger.arrivals)} arrivals, {len(ledger.duplicates())} of them again; "
                     f"the slowest start took {self.slowest:.2f} s")
        for point in ALL_POINTS:
            settings.say(f"  {self.met[point.name]:4d} × {point.name}")
