"""A machine whose firmware starts what its owner signed, and nothing else."""

import time

import test_update
from box import BoxTest
from image_builder import SNAKEOIL
from machine import run

KERNEL = "EFI/Linux/postern-a+3.efi"
KERNEL_REFUSED = r"Error loading \EFI\Linux\postern-a+2-1.efi: Access denied"
BOOT_LOADER = "EFI/BOOT/BOOTX64.EFI"
BOOT_LOADER_REFUSED = 'BdsDxe: failed to load Boot0001 "UEFI Misc Device"'
NEVER = "Linux version"
OTHER_WAYS_SECONDS = 10  # in which the firmware or the boot loader would have found another way to start it


class SecureBootTest(BoxTest):
    kind = "amd64 secure boot"

    def assert_refused(self, name, changed, words):
        """The image with `changed` in the place of one file does not start."""
        disk = self.new_disk()
        disk.drop({name: changed(disk.efi_file(name))})
        machine = self.start_machine(disk)
        machine.wait_for(words)
        time.sleep(OTHER_WAYS_SECONDS)
        self.assertNotIn(NEVER, machine.console())
        machine.pull_the_plug()


class AMachineWithSecureBoot(SecureBootTest):
    def test_it_starts_the_signed_image_with_a_locked_kernel(self):
        machine = self.start_machine(self.new_disk())
        self.assertIn("secureboot: Secure boot enabled", machine.wait_for("no configuration yet"))
        machine.pull_the_plug()

    def test_it_refuses_a_kernel_image_with_one_octet_of_its_command_line_changed(self):
        def unlocked(content):
            self.assertEqual(content.count(b"lockdown=integrity"), 1)
            return content.replace(b"lockdown=integrity", b"lockdown=integritz")

        self.assert_refused(KERNEL, unlocked, KERNEL_REFUSED)

    def test_an_update_brings_both_kernel_images_signed(self):
        head, content = test_update.bundle("good").split(b"\n", 1)
        manifest = content[:int(head.split()[2])].decode()
        sizes = {words[0]: int(words[1]) for words in map(str.split, manifest.splitlines()) if len(words) == 3}
        at = sum(map(int, head.split()[2:])) + sizes["root"]
        for name in ("kernel-a", "kernel-b"):
            (self.scratch / name).write_bytes(content[at:at + sizes[name]])
            run("sbverify", "--cert", f"{SNAKEOIL}.pem", self.scratch / name)
            at += sizes[name]
        self.assertEqual(at, len(content))


class AMachineWithSecureBootAndNoSignature(SecureBootTest):
    long = True

    def without_signature(self, content):
        file = self.scratch / "signed"
        file.write_bytes(content)
        run("sbattach", "--remove", file)
        return file.read_bytes()

    def test_it_refuses_the_kernel_image(self):
        self.assert_refused(KERNEL, self.without_signature, KERNEL_REFUSED)

    def test_it_refuses_the_boot_loader(self):
        self.assert_refused(BOOT_LOADER, self.without_signature, BOOT_LOADER_REFUSED)


class AnUpdateWithSecureBoot(test_update.AnUpdate):
    long = True
    kind = "amd64 secure boot"
