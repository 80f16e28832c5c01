"""Orders on the EFI partition of one box: a backup is made, everything is erased, and the backup makes it what it was."""

import re

from box import BoxTest, UPSTREAM_PASSWORD, figure

PASSPHRASE = b"correct horse battery"
ORDERS = {name: f"POSTERN-{name}.TXT" for name in ("BACKUP", "RESTORE", "ERASE")}
RESULTS = {name: f"POSTERN-{name}-RESULT.TXT" for name in ORDERS}


class ABoxThatIsErasedAndRestored(BoxTest):
    long = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.upstream.faults.extend(cls.fault("connect:421 4.3.2 not yet"))
        cls.disk = cls.new_disk()
        cls.files = cls.configuration_files(cls.upstream)
        cls.disk.drop(cls.files)
        cls.key_line = cls.files["tls/relay.key"].splitlines()[1]
        cls.machine = cls.start_machine(cls.disk, restarts=True)
        cls.machine.wait_for("slot a passed its trial")

    @staticmethod
    def fault(text):
        from upstream import Fault
        return [Fault.parse(text)]

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
        self.assertTrue(self.data_holds(UPSTREAM_PASSWORD.encode()))

        # The power goes in the middle of it: the box goes on with it at the next start.
        self.start_with({ORDERS["ERASE"]: first.encode() + b"\r\n"})
        self.machine.wait_for("keys and data of this box are being destroyed")
        self.machine.pull_the_plug()
        told = self.result("ERASE")
        self.assertIn(f"Box {first} is ", told)
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
        for secret in (UPSTREAM_PASSWORD.encode(), self.key_line, first.encode()):
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
