"""A box whose clock lost its battery."""

import json
import re
import time

from box import BoxTest, image
from machine import SECONDS_MAX

WRONG_CLOCK = "2020-01-01T00:00:00"
SECONDS_OFF_MAX = 120  # between the answer and this test's look at its own clock, on a busy machine
MEMORY_MEGABYTES_MIN = 160  # firmware/README.md, "The image"
NO_ROUTER = """
[network]
address = "10.0.2.15/24"
name_servers = ["10.0.2.3"]
time_servers = ["10.0.2.99", "10.0.2.2"]
"""


class ClockTest(BoxTest):
    def assert_learns_the_time(self, disk, floor):
        """Between `floor` (seconds since 1970) and the answer of the time server its clock goes on from there."""
        self.start_time_server()
        machine = self.start_machine(disk, clock=WRONG_CLOCK, memory_megabytes=MEMORY_MEGABYTES_MIN)
        machine.wait_for("the clock was behind; it is set to the latest moment known")
        console = machine.wait_for("the clock is set by 10.0.2.2 to ")
        told, behind = map(int, re.search(r"the clock is set by 10\.0\.2\.2 to (\d+) s after 1970; it was (\d+) s behind",
                                          console).groups())
        self.assertLess(abs(told - time.time()), SECONDS_OFF_MAX, console[-500:])
        self.assertTrue(floor <= told - behind <= floor + SECONDS_MAX, (floor, told, behind))
        machine.pull_the_plug()

    @staticmethod
    def image_date():
        return json.loads((image().with_suffix(".parts") / "facts.json").read_text())["built"]


class ABoxWithoutABattery(ClockTest):
    def test_it_starts_at_the_date_of_its_image_and_then_learns_the_time(self):
        self.assert_learns_the_time(self.new_disk(), self.image_date())


class ABatteryThatEnds(ClockTest):
    long = True

    def test_it_starts_at_the_moment_that_it_noted_last(self):
        disk, now = self.new_disk(), int(time.time())
        machine = self.start_machine(disk)
        machine.wait_for("slot a passed its trial")
        machine.pull_the_plug()
        self.assertLess(self.image_date(), now)
        self.assert_learns_the_time(disk, now)


class AConfigurationThatNamesTimeServers(ClockTest):
    """The first of them is away, and without a router nobody else is asked."""
    long = True

    def test_they_are_asked(self):
        disk = self.new_disk()
        disk.drop(self.files_without_keys(self.start_upstream(), NO_ROUTER))
        self.assert_learns_the_time(disk, self.image_date())
