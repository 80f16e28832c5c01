"""The arm64 image as the card of an emulated Raspberry Pi 3: U-Boot, the boot loader, the kernel, and then all as elsewhere.

What the emulator does not have is not shown: the board's boot ROM with its files, its watchdog, its own network adapter, and
USB that U-Boot and Linux use one after the other (machine.py).
"""

import time

import image_builder
import test_arm64
import test_update
from box import BoxTest
from machine import BOARD_TREE, RASPBERRY_PI

CARD_MEGABYTES = 512  # the emulator takes cards of a power of two
BOARD_FILES = ("config.txt", "u-boot.bin", BOARD_TREE)
UNCONFIGURED = "no configuration yet"
INSTALL_SECONDS_MAX = 1800  # the emulated card takes a tenth of a megabyte a second, and an update is 52; supervisor's limit


class OnARaspberryPi(test_arm64.OnArm64, BoxTest):
    kind = RASPBERRY_PI

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = cls.new_disk(CARD_MEGABYTES)
        cls.board_files = cls.read_board_files()

    @classmethod
    def read_board_files(cls):
        return {name: cls.disk.efi_file(name) for name in BOARD_FILES}

    @classmethod
    def start(cls, **settings):
        cls.machine = cls.start_machine(cls.disk, **settings)
        cls.machine.plug_network()

    def figure_since_start(self, what):
        self.figure(f"emulator's start to {what}, s", f"{time.monotonic() - self.machine.begun:.1f}")


class AFreshRaspberryPi(OnARaspberryPi):
    def test_it_starts_and_keeps_its_slot_and_its_board_files(self):
        self.start()
        console = self.machine.wait_for(UNCONFIGURED)
        self.figure_since_start("an open data partition")
        for words in ("EFI stub: Booting Linux Kernel", "by Das U-Boot", "sha256 using shash", "slot a is on trial",
                      "the data partition now reaches to the end of /dev/mmcblk0"):
            self.assertIn(words, console)
        self.machine.wait_for("the address is 10.0.2.15")
        self.assert_no_port_is_open(self.machine)
        self.assertIn("Failed to rename", console, "U-Boot renames files now: README.md says that it does not")
        self.machine.wait_for("slot a passed its trial")
        self.machine.pull_the_plug()
        self.assertEqual(self.disk.efi_names("EFI/Linux"), ["postern-a.efi"])
        self.assertEqual(self.read_board_files(), self.board_files)
        self.assertIn(b"10.0.2.15", self.disk.efi_file("POSTERN.TXT"))


class ADroppedConfigurationOnARaspberryPi(OnARaspberryPi):
    def test_mail_arrives_signed_over_verified_tls(self):
        upstream = self.start_upstream()
        self.start_time_server()  # the board has no clock, and the upstream's certificate is younger than the image
        self.disk.drop(self.configuration_files(upstream))
        self.start()
        self.machine.wait_for("ready to accept mail")
        self.figure_since_start("ready for mail")
        self.machine.wait_for("the clock is set by 10.0.2.2")
        self.submit(self.machine, self.authority.ca_file, "a scan")
        [message] = [each for each in upstream.wait(1, 120) if b"a scan" in each.content]
        self.assertEqual(message.tls_version, "TLSv1.3")
        self.assert_signed(message, self.records)


class AnUpdateOnARaspberryPi(OnARaspberryPi):
    def test_a_good_one_is_tried_once_and_kept(self):
        self.disk.drop({test_update.BUNDLE: test_arm64.good_bundle().read_bytes()})
        self.start(restarts=True)
        self.machine.wait_for("is installed in slot b", INSTALL_SECONDS_MAX)
        self.machine.wait_for("slot b is on trial")
        self.machine.wait_for("slot b passed its trial")
        self.machine.pull_the_plug()
        self.assertEqual(sorted(self.disk.efi_names("EFI/Linux")), ["postern-a.efi", "postern-b.efi"])
        self.assertEqual(self.read_board_files(), self.board_files)


class ADamagedUpdateOnARaspberryPi(OnARaspberryPi):
    def test_it_leads_back_although_no_try_is_counted(self):
        self.disk.put_beside_a_good_slot_a(image_builder.make_parts("damaged", test_arm64.image()))
        self.start(restarts=True)
        self.machine.wait_for("the other slot is good: the box goes back to it")
        self.machine.wait_for("slot a is good")
        self.machine.wait_for("the update in slot b failed: ")
        self.machine.pull_the_plug()
        self.assertEqual(self.disk.efi_names("EFI/Linux"), ["postern-a.efi"])
