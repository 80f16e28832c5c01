"""A flashed box that nobody configured, and one whose root was changed."""

import re
import time

from box import BoxTest, figure
from machine import MEGABYTE, ROOT_A_AT

MEDIUM_MEGABYTES = 1024
UNCONFIGURED = "no configuration yet"


class AFreshBox(BoxTest):
    kind = "amd64 without random numbers"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = cls.new_disk(MEDIUM_MEGABYTES)
        cls.machine = cls.start_machine(cls.disk, forwarded=(22, 23, 25, 80, 443, 465, 587))
        cls.machine.wait_for(UNCONFIGURED)
        figure("emulator's start to an open data partition, s", f"{time.monotonic() - cls.machine.begun:.1f}")
        cls.machine.wait_for("the address is 10.0.2.15")

    def test_no_port_is_open_without_a_configuration(self):
        self.assert_no_port_is_open(self.machine)

    def test_the_data_partition_grows_to_the_medium(self):
        console = self.machine.wait_for("the data file system grew")
        self.assertIn("the data partition now reaches to the end of /dev/vda", console)
        parts = self.disk.partitions()  # sfdisk refuses a table with a wrong checksum
        data = parts["postern-data"]
        end = (data["start"] + data["size"]) * 512 / MEGABYTE
        self.assertGreater(end, MEDIUM_MEGABYTES - 1)
        told = int(re.search(r"the data file system grew to (\d+) MB", console)[1])
        self.assertGreater(told, 0.9 * data["size"] * 512 / 1e6)

    def test_the_kernel_is_locked_down(self):
        console = self.machine.console()
        self.assertRegex(console, r"Kernel command line: .* lockdown=integrity module\.sig_enforce=1 ")
        self.assertIn("Kernel is locked down from command line", console)
        self.assertRegex(console, "Lockdown: .* is restricted")

    def test_keys_are_made_after_the_random_pool_is_ready(self):
        console = self.machine.console()
        early, told, _ = console.partition("random: crng init done")
        self.assertTrue(told, console[-3000:])
        self.assertNotIn("this is box", early)
        self.assertIn("device-mapper: verity", early, "the pool was ready before the box needed it: this shows nothing")
        self.assertNotIn("uninitialized", console)


class AChangedRoot(BoxTest):
    def test_one_flipped_bit_of_the_root_is_refused(self):
        disk = self.new_disk()
        disk.flip_a_bit(ROOT_A_AT)
        machine = self.start_machine(disk)
        machine.wait_for("data block 0 is corrupted")
        machine.wait_for("the root is damaged; the box restarts")
        machine.wait_until_it_ends()
        self.assertNotIn(UNCONFIGURED, machine.console())
