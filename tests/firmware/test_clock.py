"""A box whose clock lost its battery."""

import re
import time

from box import BoxTest

WRONG_CLOCK = "2020-01-01T00:00:00"
SECONDS_OFF_MAX = 120  # between the answer and this test's look at its own clock, on a busy machine


class ABoxWithoutABattery(BoxTest):
    def test_it_starts_at_the_latest_moment_known_and_then_learns_the_time(self):
        self.start_time_server()
        machine = self.start_machine(self.new_disk(), clock=WRONG_CLOCK)
        machine.wait_for("the clock was behind; it is set to the latest moment known")
        console = machine.wait_for("the clock is set by 10.0.2.2 to ")
        told = int(re.search(r"the clock is set by 10\.0\.2\.2 to (\d+) s after 1970", console)[1])
        self.assertLess(abs(told - time.time()), SECONDS_OFF_MAX, console[-500:])
        machine.pull_the_plug()
