"""Updates dropped on the EFI partition: a good one is tried and kept, every other leads back to what ran before."""

import os
import pathlib
import re
import time

import power_cuts
from box import BoxTest
from machine import Disk, Machine
from power_cuts import Bootable, EFI, PowerCuts

BUNDLE = "postern-update.bundle"
POWER_CUT_STATES, BOOTED_STATES = 120, 6


def bundle(name):
    return (pathlib.Path(os.environ["POSTERN_BUNDLES"]) / f"{name}.bundle").read_bytes()


def parts_at(content):
    """Where the signed head of a bundle ends."""
    line, _, _ = content.partition(b"\n")
    return len(line) + 1 + sum(int(word) for word in line.split()[2:])


def image_in_bundle(content):
    """For slot b, as Bootable knows images."""
    parts = {words[0]: words[1:] for words in map(str.split, content[:parts_at(content)].decode(errors="replace").splitlines())}
    return parts["kernel-b"][1], int(parts["root"][0]), parts["root"][1]


class UpdateTest(BoxTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.disk = cls.new_disk()
        cls.disk.drop(cls.configuration_files(cls.upstream))
        cls.machine = cls.start_machine(cls.disk, restarts=True)
        cls.machine.wait_for("slot a passed its trial")

    def start_with(self, content):
        self.machine.pull_the_plug()
        self.disk.drop({BUNDLE: content})
        self.machine.start()

    def start_logged_with(self, content):
        """And what is written from here on is logged; `finish` of the result ends that."""
        self.machine.pull_the_plug()
        self.disk.drop({BUNDLE: content})
        cuts = PowerCuts(self.disk, self.scratch)
        self.machine.write_log = cuts.log_file
        self.machine.start()
        self.machine.wait_for("is installed in slot b")
        self.machine.wait_for("slot b is on trial")
        self.machine.wait_for("slot b passed its trial")
        return cuts

    def kernels(self):
        return sorted(name for name in self.disk.efi_names("EFI/Linux") if name.endswith(".efi"))


class AnUpdate(UpdateTest):
    def test_a_forged_one_is_refused_and_a_good_one_is_tried_and_kept(self):
        good = bundle("good")
        forged = bytearray(good)
        forged[parts_at(good) + 1000] ^= 1
        self.start_with(bytes(forged))
        self.machine.wait_for("the dropped update is refused: check the update: its root is not what the signed manifest names")
        self.machine.wait_for("ready to accept mail")
        self.assertEqual(self.kernels(), ["postern-a.efi"])
        self.assertNotIn(BUNDLE, self.disk.efi_names())

        cuts = self.start_logged_with(good)
        console = self.machine.console()
        self.figure("restart into an update, ready for mail, s", re.findall(r"ready to accept mail ([0-9.]+) s", console)[-1])
        self.submit(self.machine, self.authority.ca_file, "after the update")
        self.assertIn(b"after the update", self.upstream.wait(1, 120)[-1].content)
        cuts.finish(self.machine)
        self.assertEqual(self.kernels(), ["postern-a.efi", "postern-b.efi"])
        self.no_power_cut_leaves_an_unbootable_box(cuts, good)

        self.start_with(good)
        self.machine.wait_for("slot b is good")
        self.machine.wait_for("it is not newer than what this box runs or ran")
        self.machine.pull_the_plug()

    def no_power_cut_leaves_an_unbootable_box(self, cuts, content):
        begun = time.monotonic()
        before = Disk(None, cuts.before)
        bootable = Bootable(before, {"a": Bootable.image_in(before, "a"), "b": image_in_bundle(content)})
        chosen = cuts.log.cuts(POWER_CUT_STATES, power_cuts.SEED, [EFI, bootable.roots["b"]])
        cuts.examine(chosen, bootable.regions, bootable.check)
        self.figure("power cuts while an update is written, states", len(chosen))
        self.figure("these states checked in, s", f"{time.monotonic() - begun:.0f}")


class PowerCutsOfAnUpdate(UpdateTest):
    long = True

    def test_a_box_that_lost_its_power_goes_on_with_its_update(self):
        """The image itself on some of these media. Since the bundle goes last, slot b runs in the end."""
        cuts = self.start_logged_with(bundle("good"))
        cuts.finish(self.machine)
        whole = [(0, os.path.getsize(self.disk.file))]

        def check(_, disk, place):
            with Machine(disk, restarts=True) as machine:
                if "slot b is on trial" in machine.wait_for("slot b is "):
                    machine.wait_for("slot b passed its trial")
                machine.wait_for("ready to accept mail")

        chosen = cuts.log.cuts(BOOTED_STATES, power_cuts.SEED, [EFI])
        cuts.examine(chosen, whole, check)
        self.figure("power cuts of an update, started again in the emulator", len(chosen))


class AFailingUpdate(UpdateTest):
    long = True

    def back_in_slot_a(self, name, *reasons):
        self.start_with(bundle(name))
        self.machine.wait_for("is installed in slot b")
        told = self.machine.wait_for("the update in slot b failed three times", 900)
        told = self.machine.wait_for("POSTERN.TXT on the EFI partition says", 900)
        notice = self.disk.efi_file("POSTERN.TXT").decode()
        for reason in ("failed three times", *reasons):
            self.assertIn(reason, notice)
        self.assertEqual(self.kernels(), ["postern-a.efi"])
        before = len(self.upstream.accepted())
        self.submit(self.machine, self.authority.ca_file, name)
        self.assertIn(name.encode(), self.upstream.wait(before + 1, 120)[-1].content)
        return told

    def test_a_damaged_root_leads_back(self):
        told = self.back_in_slot_a("damaged", "its root may be damaged")
        self.assertEqual(told.count("is corrupted"), 3)

    def test_a_relay_that_does_not_run_leads_back_with_the_reason(self):
        told = self.back_in_slot_a("failing", "the relay ended with code")
        self.assertEqual(told.count("this slot fails its trial"), 3)
