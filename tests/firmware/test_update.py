"""Configurations and updates from USB sticks and the EFI partition: a good update is tried and kept, every other leads back."""

import contextlib
import os
import pathlib
import re
import time

import power_cuts
from box import BoxTest, UPSTREAM_PASSWORD
from machine import ROOT_B_AT, Disk, Machine, NamedPartition, Stick
from power_cuts import Bootable, EFI, PowerCuts, STATES_MIN

BUNDLE = "postern-update.bundle"
PROBLEMS = "POSTERN-PROBLEMS.TXT"
STICK_TOLD = "POSTERN.TXT on the USB stick says"
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


def holds(place, name, words):
    with contextlib.suppress(AssertionError, UnicodeDecodeError):  # the box may be writing it
        return words in place.content(name).decode()
    return False


class UpdateTest(BoxTest):
    """A box that got its configuration from a stick while it ran."""

    logged = False  # whether what it writes to its medium is, for power cuts

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.disk = cls.new_disk()
        cls.files = cls.configuration_files(cls.upstream)
        cls.stick = Stick(cls.scratch / "configuration.img")
        cls.stick.drop(cls.files)
        cls.secrets_stood_there = cls.stick.holds(UPSTREAM_PASSWORD.encode())
        cls.cuts = PowerCuts(cls.disk, cls.scratch) if cls.logged else None
        cls.machine = cls.start_machine(cls.disk, restarts=True, write_log=cls.cuts and cls.cuts.log_file)
        cls.machine.wait_for("no configuration yet")
        cls.machine.plug(cls.stick)
        cls.machine.wait_for("the dropped configuration is in force; it was removed from the USB stick")
        cls.machine.wait_for("slot a passed its trial")
        cls.machine.wait_for(STICK_TOLD)

    def start_with(self, content):
        self.machine.pull_the_plug()
        self.disk.drop({BUNDLE: content})
        self.machine.start()

    def plug_in(self, name, files, **settings):
        """Another stick in place of the one that is there."""
        self.machine.pull()
        stick = Stick(self.scratch / f"{name}.img", **settings)
        stick.drop(files)
        self.machine.plug(stick)
        return stick

    def kernels(self):
        return sorted(name for name in self.disk.efi_names("EFI/Linux") if name.endswith(".efi"))


class AnUpdate(UpdateTest):
    """One test, because each step begins with the box that the one before left."""

    logged = True

    def wait_for_word_on(self, stick, name, words):
        self.machine.wait_until(lambda: holds(stick, name, words), f"'{words}' in {name} on the stick")

    def check_the_configuration_stick(self):
        self.assertTrue(self.secrets_stood_there)
        left = {name.lower() for name in self.stick.names()}
        self.assertEqual(left, {"postern.txt", "postern-ca.crt", "postern-status.txt"})
        self.assertFalse(self.stick.holds(UPSTREAM_PASSWORD.encode()))
        self.assertFalse(self.stick.holds(self.files["tls/relay.key"].splitlines()[1]))
        self.assertIn(b"10.0.2.15", self.stick.content("POSTERN.TXT"))
        told = self.stick.content("POSTERN-STATUS.TXT").decode()
        self.assertIn("[::]:465", told)
        self.assertRegex(told, r"Slot +a, ")
        self.assertIn("postern queue list", told)
        self.submit(self.machine, self.authority.ca_file, "by a stick's configuration")
        self.upstream.wait(1, 120)

    def check_that_bad_things_are_refused(self, good):
        forged = bytearray(good)
        forged[parts_at(good) + 1000] ^= 1
        stick = self.plug_in("forged", {BUNDLE: bytes(forged)}, partition=False)
        refused = "the dropped update is refused: check the update: its root is not what the signed manifest names"
        self.machine.wait_for(refused)
        self.wait_for_word_on(stick, "POSTERN.TXT", refused)
        self.assertIn(refused, stick.content(PROBLEMS).decode())
        stick = self.plug_in("bad", {"postern.toml": self.files["postern.toml"].replace(b'"implicit"', b'"maybe"')})
        self.machine.wait_for("the dropped configuration is refused")
        self.wait_for_word_on(stick, "POSTERN.TXT", "is refused; POSTERN-PROBLEMS.TXT")
        self.assertRegex(stick.content(PROBLEMS).decode(), r"postern\.toml:\d+:\d+: tls is \"maybe\"")
        self.assertEqual(self.kernels(), ["postern-a.efi"])

    def test_sticks_bring_a_configuration_and_an_update_that_is_tried_and_kept(self):
        good = bundle("good")
        self.check_the_configuration_stick()
        self.check_that_bad_things_are_refused(good)

        begun = self.cuts.log_bytes()
        stick = self.plug_in("good", {BUNDLE: good})
        self.machine.wait_for("is installed in slot b")
        self.machine.wait_for("slot b is on trial")
        console = self.machine.wait_for("slot b passed its trial")
        self.figure("restart into an update, ready for mail, s", re.findall(r"ready to accept mail ([0-9.]+) s", console)[-1])
        self.assertRegex(console, r"listener \[::\]:465 +good")
        self.assertRegex(console, r"upstream provider +reached")
        # It stays on the stick for other boxes; this one must not take it again.
        self.machine.wait_for("the update on the USB stick was looked at before")
        self.wait_for_word_on(stick, "POSTERN-STATUS.TXT", "Last update    slot b passed its trial")
        self.assertRegex(stick.content("POSTERN-STATUS.TXT").decode(), r"Slot +b, good")
        self.submit(self.machine, self.authority.ca_file, "after the update")
        self.assertIn(b"after the update", self.upstream.wait(2, 120)[-1].content)
        self.cuts.finish(self.machine)
        self.assertEqual(self.kernels(), ["postern-a.efi", "postern-b.efi"])
        self.no_power_cut_leaves_an_unbootable_box(good, begun)

        self.start_with(good)
        self.machine.wait_for("slot b is good")
        self.machine.wait_for("it is not newer than what this box runs or ran")
        self.machine.pull_the_plug()
        self.assertNotIn(BUNDLE, self.disk.efi_names())

    def no_power_cut_leaves_an_unbootable_box(self, content, log_bytes):
        begun = time.monotonic()
        before = Disk(None, self.cuts.before)
        bootable = Bootable(before, {"a": Bootable.image_in(before, "a"), "b": image_in_bundle(content)})
        chosen = self.cuts.log.cuts(POWER_CUT_STATES, power_cuts.SEED, [EFI, bootable.roots["b"]], begin=log_bytes)
        self.cuts.examine(chosen, bootable.regions, bootable.check)
        self.assertGreaterEqual(len(chosen), STATES_MIN)
        self.figure("power cuts while an update is written, states", len(chosen))
        self.damage_is_seen(bootable)
        self.figure("these states checked in, s", f"{time.monotonic() - begun:.0f}")


    def damage_is_seen(self, bootable):
        """That this check can fail."""
        bootable.check(None, self.disk, self.scratch)
        self.disk.flip_a_bit(ROOT_B_AT)
        with self.assertRaisesRegex(AssertionError, "postern-b.efi has a damaged root"):
            bootable.check(None, self.disk, self.scratch)
        self.disk.flip_a_bit(ROOT_B_AT)
        whole = self.disk.efi_file("EFI/Linux/postern-a.efi")
        self.disk.drop({"EFI/Linux/postern-a.efi": whole[:-1] + bytes([whole[-1] ^ 1])})
        with self.assertRaisesRegex(AssertionError, "postern-a.efi is none of the kernel images"):
            bootable.check(None, self.disk, self.scratch)
        self.disk.drop({"EFI/Linux/postern-a.efi": whole})


class PowerCutsOfAnUpdate(UpdateTest):
    long = True

    def test_a_box_that_lost_its_power_goes_on_with_its_update(self):
        """The image itself on some media. Since the bundle on the EFI partition goes last, slot b runs in the end."""
        self.machine.pull_the_plug()
        self.disk.drop({BUNDLE: bundle("good")})
        cuts = PowerCuts(self.disk, self.scratch)
        self.machine.write_log = cuts.log_file
        self.machine.start()
        self.machine.wait_for("slot b passed its trial")
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


class LeadsBack(UpdateTest):
    def back_in_slot_a(self, name, *reasons):
        self.start_with(bundle(name))
        self.machine.wait_for("is installed in slot b")
        self.machine.wait_for("the update in slot b failed three times", 1800)
        self.machine.wait_until(lambda: "failed three times" in self.disk.efi_file("POSTERN.TXT").decode(), "POSTERN.TXT says so")
        told, notice = self.machine.console(), self.disk.efi_file("POSTERN.TXT").decode()
        for reason in ("failed three times", *reasons):
            self.assertIn(reason, notice)
        self.assertEqual(self.kernels(), ["postern-a.efi"])
        before = len(self.upstream.accepted())
        self.submit(self.machine, self.authority.ca_file, name)
        self.assertIn(name.encode(), self.upstream.wait(before + 1, 120)[-1].content)
        stick = Stick(self.scratch / f"{name}-status.img")
        self.machine.plug(stick)
        for reason in ("failed three times", *reasons):
            self.machine.wait_until(lambda: holds(stick, "POSTERN-STATUS.TXT", reason), f"`postern status` tells '{reason}'")
        return told


class AFailingUpdate(LeadsBack):
    long = True

    def test_a_damaged_root_leads_back(self):
        told = self.back_in_slot_a("damaged", "its root does not read as it was written")
        self.assertEqual(told.count("the root is damaged; the box restarts"), 3)

    def test_a_relay_that_does_not_run_leads_back_with_the_reason(self):
        told = self.back_in_slot_a("failing", "the relay ended with code")
        self.assertEqual(told.count("this slot fails its trial"), 3)

    def test_a_relay_that_never_does_tls_leads_back_with_the_reason(self):
        told = self.back_in_slot_a("silent", "not healthy: ask posternd at /run/postern/control")
        self.assertEqual(told.count("this slot fails its trial"), 3)

    def test_a_relay_whose_tls_only_itself_understands_leads_back_with_the_reason(self):
        told = self.back_in_slot_a("odd-tls", "not healthy: upstream provider: ")
        self.assertRegex(told, r"listener \[::\]:465 +good")
        self.assertEqual(told.count("this slot fails its trial"), 3)

    def test_a_box_that_hangs_is_reset_by_its_watchdog_and_led_back(self):
        told = self.back_in_slot_a("hanging", "it hung, and the watchdog started the box again")
        self.assertEqual(told.count("this slot fails its trial"), 0)


class AnUpdateWhoseRelayIsNeverReady(LeadsBack):
    """Each of its tries takes five minutes."""
    long = True

    def test_it_leads_back_with_the_reason(self):
        told = self.back_in_slot_a("mute", "the relay was not ready in time")
        self.assertEqual(told.count("this slot fails its trial"), 3)


class AGoodSlotThatIsDamagedLater(UpdateTest):
    """As by a worn-out medium: no tries are left that would lead to the other slot."""
    long = True

    def test_the_box_goes_back_to_the_other_one_and_no_stick_stands_in_for_a_root(self):
        self.start_with(bundle("good"))
        self.machine.wait_for("slot b passed its trial")
        self.machine.pull_the_plug()
        self.disk.flip_a_bit(ROOT_B_AT)
        pretender = NamedPartition(self.scratch / "pretender.img", "postern-root-b")
        self.machine.start()
        self.machine.plug(pretender)
        self.machine.wait_for("/dev/sda1 does not hold this slot's root")
        self.machine.wait_for("the other slot is good: the box goes back to it")
        self.machine.wait_for("slot b ran before and is damaged")
        self.machine.wait_until(lambda: holds(self.disk, "POSTERN.TXT", "slot b ran before and is damaged"), "POSTERN.TXT says so")
        self.assertEqual(self.kernels(), ["postern-a.efi"])
        self.submit(self.machine, self.authority.ca_file, "from the other slot")
        self.assertIn(b"from the other slot", self.upstream.wait(1, 120)[-1].content)
        # What runs is older, but what ran is not forgotten.
        self.start_with(bundle("good"))
        self.machine.wait_for("it is not newer than what this box runs or ran")


class ARelayInItsPlace(BoxTest):
    """On a box that has no other slot to go back to."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.files = cls.configuration_files(cls.upstream)

    def start_with(self, kind):
        disk = self.new_disk(name=kind)
        disk.put_into_slot_a(pathlib.Path(os.environ["POSTERN_BUNDLES"]) / f"{kind}.parts")
        disk.drop(self.files)
        return self.start_machine(disk)


class ARelayThatIsNeverReady(ARelayInItsPlace):
    long = True

    def test_it_is_ended_and_started_again_and_the_notice_says_that_no_mail_is_taken(self):
        machine = self.start_with("mute")
        machine.wait_for("the relay does not become ready; it is ended and started again with more time", 900)
        machine.wait_for("the relay ended by signal 9; started again in ")
        machine.wait_until(lambda: holds(machine.disk, "POSTERN.TXT", "TROUBLE: no mail is taken, because the relay does not become"),
                           "POSTERN.TXT says so")
        machine.pull_the_plug()


class ARelayThatDoesNotRun(ARelayInItsPlace):
    long = True

    def test_one_that_hangs_is_ended_and_started_again(self):
        machine = self.start_with("stuck")
        machine.wait_for("the relay makes no progress; it is ended and started again")
        machine.wait_for("the relay ended by signal 9; started again in ")
        machine.pull_the_plug()

    def test_one_that_ends_again_and_again_leads_to_safe_mode_and_a_new_configuration_out_of_it(self):
        machine = self.start_with("failing")
        # When the box has its first certificate it tries once more.
        machine.wait_until(lambda: machine.console().count("safe mode, no relay for 1800 s") == 2, "safe mode", 900)
        machine.wait_until(lambda: holds(machine.disk, "POSTERN.TXT", "TROUBLE: no mail is taken"), "POSTERN.TXT says so")
        stick = Stick(self.scratch / "safe.img")
        stick.drop({"postern.toml": self.configuration_text(self.upstream, tls_files=False).encode()})
        begun = len(machine.console())
        machine.plug(stick)
        machine.wait_for("the dropped configuration is in force")
        machine.wait_until(lambda: "the relay ended with code 2" in machine.console()[begun:], "the relay is started anew")
        # Without a relay that answers, the slot and its story are shown all the same.
        machine.wait_until(lambda: holds(stick, "POSTERN-STATUS.TXT", "Slot           a, "), "the slot's state on the stick")
        machine.pull_the_plug()
