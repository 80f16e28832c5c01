"""Updates dropped on the EFI partition: a good one is tried and kept, every other leads back to what ran before."""

import os
import pathlib
import re

from box import BoxTest

BUNDLE = "postern-update.bundle"


def bundle(name):
    return (pathlib.Path(os.environ["POSTERN_BUNDLES"]) / f"{name}.bundle").read_bytes()


def parts_at(content):
    """Where the signed head of a bundle ends."""
    line, _, _ = content.partition(b"\n")
    return len(line) + 1 + sum(int(word) for word in line.split()[2:])


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

        self.start_with(good)
        self.machine.wait_for("is installed in slot b")
        self.machine.wait_for("slot b is on trial")
        console = self.machine.wait_for("slot b passed its trial")
        self.figure("restart into an update, ready for mail, s", re.findall(r"ready to accept mail ([0-9.]+) s", console)[-1])
        self.submit(self.machine, self.authority.ca_file, "after the update")
        self.assertIn(b"after the update", self.upstream.wait(1, 120)[-1].content)
        self.machine.pull_the_plug()
        self.assertEqual(self.kernels(), ["postern-a.efi", "postern-b.efi"])

        self.start_with(good)
        self.machine.wait_for("slot b is good")
        self.machine.wait_for("it is not newer than what this box runs or ran")
        self.machine.pull_the_plug()


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
