"""Orders on the EFI partition, and what the box says of a data partition that it cannot erase or open."""

import os
import re
import subprocess

from box import BoxTest, UPSTREAM_PASSWORD, figure
from machine import run
from upstream import Fault

PASSPHRASE = b"correct horse battery"
MEGABYTES = 512  # so that its file system has a copy of its superblock
COPY_AT = 32768 * 4096  # firmware/init/storage.cpp
SUPERBLOCK_AT, SECOND_SECTOR_FIELD = 1024, 0x274  # s_wtime_hi: a time that nobody needs (ext4's layout)
ORDERS = {name: f"POSTERN-{name}.TXT" for name in ("BACKUP", "RESTORE", "ERASE")}
RESULTS = {name: f"POSTERN-{name}-RESULT.TXT" for name in ORDERS}


class ABoxThatIsErasedAndRestored(BoxTest):
    long = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.upstream.faults.append(Fault.parse("connect:421 4.3.2 not yet"))
        cls.disk = cls.new_disk()
        cls.files = cls.configuration_files(cls.upstream)
        cls.disk.drop(cls.files)
        cls.key_line = cls.files["tls/relay.key"].splitlines()[1]
        cls.machine = cls.start_machine(cls.disk, restarts=True)
        cls.machine.wait_for("slot a passed its trial")

    def start_with(self, orders):
        self.machine.pull_the_plug()
        self.disk.drop(orders)
        self.machine.start()

    def result(self, name):
        return self.disk.efi_file(RESULTS[name]).decode()

    def identity(self):
        return re.findall(r"this is box ([0-9a-f]{16})", self.machine.console())[-1]

    def data_holds(self, octets):
        return octets in self.disk.data_partition(self.scratch / "data.img").read_bytes()

    def keys_of_the_box(self):
        """Of each a line or all of its octets, as they stand on the medium."""
        data = self.disk.data_partition(self.scratch / "data.img")
        files = ("/queue/queue.key", "/box/authority.key", "/config/dkim/office.example.rsa.pem",
                 "/config/dkim/office.example.ed25519.pem")
        contents = [run("/sbin/debugfs", "-R", f"cat {file}", data) for file in files]
        return [max(content.split(b"\n"), key=len) if b"-----" in content else content for content in contents]

    def test_backup_erase_restore(self):
        self.submit(self.machine, self.authority.ca_file, "waits through it all")
        first = self.identity()

        self.start_with({ORDERS["BACKUP"]: PASSPHRASE + b"\r\n"})
        self.machine.wait_for("ready to accept mail")
        self.assertIn("is good", self.result("BACKUP"))
        self.assertIn("1 message in the queue", self.result("BACKUP"))
        [backup] = [name for name in self.disk.efi_names() if name.endswith(".backup")]
        self.assertRegex(backup, rf"postern-{first}-\d{{8}}T\d{{6}}Z\.backup")
        self.assertNotIn(ORDERS["BACKUP"], self.disk.efi_names())
        self.assertFalse(self.disk.efi_holds(PASSPHRASE))
        kept = self.disk.efi_file(backup)
        figure("backup of a box with one message, KB", f"{len(kept) / 1e3:.0f}")

        self.start_with({ORDERS["ERASE"]: b"0123456789abcdef\r\n"})
        self.machine.wait_for("the order does not name this box")
        self.machine.wait_for("ready to accept mail")
        self.machine.pull_the_plug()
        secrets = [UPSTREAM_PASSWORD.encode(), self.key_line, first.encode(), *self.keys_of_the_box()]
        for secret in secrets:
            self.assertTrue(self.data_holds(secret), secret)

        # The power goes in the middle of it: the box goes on with it at the next start.
        self.start_with({ORDERS["ERASE"]: first.encode() + b"\r\n"})
        self.machine.wait_for("keys and data of this box are being destroyed")
        self.machine.pull_the_plug()
        told = self.result("ERASE")
        self.assertRegex(told, rf"Box {first} is (being )?erased")
        self.assertIn("p2026a._domainkey.office.example", told)
        self.machine.start()
        self.machine.wait_for("no configuration yet")
        self.machine.wait_for("the address is ")
        second = self.identity()
        self.assertNotIn(ORDERS["ERASE"], self.disk.efi_names())
        self.assertNotEqual(second, first)
        self.assert_no_port_is_open(self.machine)
        told = self.result("ERASE")
        for word in (f"Box {first} is erased", "p2026a._domainkey.office.example", "give user relay@office.example",
                     "device of user copier-2", "remove the authority"):
            self.assertIn(word, told)
        self.machine.pull_the_plug()
        for secret in secrets:
            self.assertFalse(self.data_holds(secret), secret)

        self.start_with({ORDERS["RESTORE"]: b"incorrect horse\r\n"})
        self.machine.wait_for("the passphrase is wrong")
        self.machine.wait_for("no configuration yet")
        self.assertIn("nothing was changed", self.result("RESTORE"))

        self.upstream.faults.clear()
        self.start_with({ORDERS["RESTORE"]: PASSPHRASE})
        self.machine.wait_for("ready to accept mail")
        self.assertEqual(self.identity(), first)
        self.assertIn("Restored from", self.result("RESTORE"))
        self.assertNotIn("nothing was changed", self.result("RESTORE"))
        self.assertEqual(self.disk.efi_file(backup), kept)
        [message] = [each for each in self.upstream.wait(1, 300) if b"waits through it all" in each.content]
        self.assert_signed(message, self.records)
        self.submit(self.machine, self.authority.ca_file, "as before")
        self.machine.pull_the_plug()


class ADataPartition(BoxTest):
    long = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.files = cls.configuration_files(cls.upstream)

    def setUp(self):
        self.disk = self.new_disk(MEGABYTES, self.id())
        self.disk.drop(self.files)
        self.machine = self.start_machine(self.disk, restarts=True)
        self.machine.wait_for("POSTERN.TXT on the EFI partition says")
        self.machine.pull_the_plug()

    def test_what_cannot_be_erased_is_named(self):
        kept = "/config/secrets/provider"
        data = self.disk.data_partition(self.scratch / "data.img")
        subprocess.run(["/sbin/debugfs", "-w", "-R", f"set_inode_field {kept} flags 0x80010", data],  # immutable, in extents
                       capture_output=True, check=True)
        self.disk.replace_data_partition(data)
        name = re.search(r"box ([0-9a-f]{16})", self.disk.efi_file("POSTERN.TXT").decode())[1]
        self.disk.drop({ORDERS["ERASE"]: name.encode()})
        self.machine.start()
        self.machine.wait_for("no configuration yet")
        told = self.disk.efi_file(RESULTS["ERASE"]).decode()
        self.assertIn(f"Box {name} is NOT erased as a whole:\r\n", told)
        self.assertIn(f"could not overwrite /data{kept}: Operation not permitted\r\n", told)
        self.assertIn("Destroy the medium", told)
        self.assertIn("give user relay@office.example", told)
        self.machine.pull_the_plug()
        left = subprocess.run(["/sbin/debugfs", "-R", "ls /config", self.disk.data_partition(data)], capture_output=True, text=True,
                              check=True).stdout
        self.assertIn("secrets", left)
        self.assertNotIn("tls", left)
        self.assertNotIn("postern.toml", left)

    def tear(self, superblock):
        """As a power cut leaves it: of its two sectors one is older."""
        with open(self.disk.file, "r+b") as file:
            file.seek(self.disk.partitions()["postern-data"]["start"] * 512 + superblock + SECOND_SECTOR_FIELD)
            octet = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([octet ^ 1]))

    def test_a_torn_superblock_is_mended_from_its_copy(self):
        self.tear(SUPERBLOCK_AT)
        self.takes_mail_again()

    def test_where_the_copy_is_torn_too_the_journal_mends_it(self):
        for superblock in (SUPERBLOCK_AT, COPY_AT):
            self.tear(superblock)
        self.assertIn("the copy leads nowhere; the checksum is made anew", self.takes_mail_again())

    def takes_mail_again(self):
        self.machine.start()
        self.machine.wait_for("the data file system's superblock is torn; its copy is tried")
        console = self.machine.wait_for("ready to accept mail")
        before = len(self.upstream.accepted())
        self.submit(self.machine, self.authority.ca_file, "after it was mended")
        self.assertIn(b"after it was mended", self.upstream.wait(before + 1, 120)[-1].content)
        self.machine.pull_the_plug()
        return console

    def test_one_that_cannot_be_opened_is_told_and_nothing_is_taken_or_made_anew(self):
        place = self.disk.partitions()["postern-data"]
        data = self.scratch / "zeros.img"
        with open(data, "wb") as file:
            file.truncate(place["size"] * 512)
        self.disk.replace_data_partition(data)
        dropped = {"postern.toml": b"[server]\n"}
        self.disk.drop(dropped)
        for _ in range(2):
            self.machine.start()
            self.machine.wait_for("the data file system is damaged beyond automatic repair; nothing of it is used")
            self.machine.wait_for("the address is ")
            self.assert_no_port_is_open(self.machine)
            told = self.disk.efi_file("POSTERN.TXT").decode()
            self.assertIn("TROUBLE: no mail is taken, because the data partition cannot be opened", told)
            self.assertEqual(self.disk.efi_file("postern.toml"), dropped["postern.toml"])
            self.machine.pull_the_plug()
        with open(self.disk.file, "rb") as file:
            file.seek(place["start"] * 512)
            self.assertEqual(file.read(place["size"] * 512).strip(b"\0"), b"")
