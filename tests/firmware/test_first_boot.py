"""Keys, certificate and identity are made on the box: where the configuration brings none, and on every box others."""

import datetime
import re
import smtplib
import socket
import ssl

import relay as relays
import verifiers
from box import BoxTest, HOSTNAME
from machine import run
from support import simple_message

NOTICE_WRITTEN = "POSTERN.TXT on the EFI partition says"
ADDRESS = "10.0.2.15"
# Another class of tests may tell every box the right time meanwhile.
NO_TIME_SERVER = f"""
[network]
address = "{ADDRESS}/24"
router = "10.0.2.2"
name_servers = ["10.0.2.3"]
time_servers = ["10.0.2.99"]
"""
RENEWED_AFTER = datetime.timedelta(days=300)  # of 397: two thirds (crypto/own_authority.hpp)


class OwnKeys(BoxTest):
    """With a configuration that names no key."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.files = cls.files_without_keys(cls.upstream)


class ABoxThatMakesItsKeys(OwnKeys):
    """Two boxes from one image with one configuration."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.boxes = []
        for name in ("one", "two"):
            disk = cls.new_disk(name=name)
            disk.drop(cls.files)
            cls.boxes.append((disk, cls.start_machine(disk)))
            cls.boxes[-1][1].wait_for(NOTICE_WRITTEN)
        cls.disk, cls.machine = cls.boxes[0]
        cls.notice = cls.disk.efi_file("POSTERN.TXT").decode("ascii")
        cls.ca_file = cls.scratch / "box-ca.pem"
        cls.ca_file.write_bytes(cls.disk.efi_file("POSTERN-CA.CRT"))

    def fingerprint_of(self, certificate):
        shown = run("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256", text=True)
        return shown.strip().partition("=")[2]

    def test_the_notice_and_the_console_tell_how_to_trust_and_reach_it(self):
        fingerprint = self.fingerprint_of(self.ca_file)
        self.assertRegex(self.notice, rf"Address +{re.escape(ADDRESS)}\r\n")
        self.assertIn(fingerprint, self.notice)
        self.assertIn(fingerprint, self.machine.console())
        self.assertIn("What to do next", self.notice)
        self.assertNotIn("PRIVATE", self.notice)
        run("openssl", "x509", "-in", self.ca_file, "-noout", "-checkend", (10 * 365 - 2) * 24 * 3600)

    def test_a_device_that_imported_the_authority_submits_and_the_records_verify(self):
        for name in (HOSTNAME, ADDRESS):  # both stand in the certificate
            context = self.trusting(self.ca_file)
            self.assertTrue(self.machine.answer_at(465, context, name=name).startswith(b"220 "))
        with smtplib.SMTP("localhost", self.machine.ports[587], timeout=60) as device:
            device._host = HOSTNAME  # the name that starttls() verifies
            device.starttls(context=self.trusting(self.ca_file))
            device.login(relays.USER, relays.PASSWORD)
            device.sendmail(relays.SENDER, ["anna@far.example"], simple_message("own keys").encode())
        message = self.upstream.wait(1, 120)[-1]
        self.assert_signed(message, verifiers.records_from_text(self.notice.replace("\r\n", "\n")))

    def test_two_boxes_have_nothing_in_common(self):
        found = []
        for index, (disk, _) in enumerate(self.boxes):
            notice = disk.efi_file("POSTERN.TXT").decode("ascii")
            certificate = self.scratch / f"ca-{index}.pem"
            certificate.write_bytes(disk.efi_file("POSTERN-CA.CRT"))
            records = verifiers.records_from_text(notice.replace("\r\n", "\n"))
            self.assertEqual(len(records), 2, notice)
            found.append({re.search(r"box ([0-9a-f]{16})\r\n", notice)[1], self.fingerprint_of(certificate),
                          *records.keys(), *records.values()})
            self.assertEqual(len(found[-1]), 6)
        self.assertFalse(found[0] & found[1])

    def test_the_keys_on_the_medium_differ_and_outlive_a_restart(self):
        keys = []
        for disk, machine in self.boxes:
            machine.pull_the_plug()
            keys.append(self.keys_on(disk))
            self.assertTrue(all(len(key) >= 32 for key in keys[-1]), [len(key) for key in keys[-1]])
        self.assertFalse(set(keys[0]) & set(keys[1]))
        self.machine.start()
        self.machine.wait_for(NOTICE_WRITTEN)
        self.machine.pull_the_plug()
        self.assertEqual(self.keys_on(self.disk), keys[0])
        self.assertEqual(self.disk.efi_file("POSTERN.TXT").decode("ascii"), self.notice)

    def keys_on(self, disk):
        data = disk.data_partition(self.scratch / "data.img")
        return [run("/sbin/debugfs", "-R", f"cat {path}", data) for path in
                ("/queue/queue.key", "/box/authority.key", "/config/tls/own.key", "/config/dkim/office.example.rsa.pem")]


class ACertificateThatEnds(OwnKeys):
    long = True

    def served(self, machine):
        with socket.create_connection(("127.0.0.1", machine.ports[465]), 30) as plain:
            with ssl._create_unverified_context().wrap_socket(plain) as secured:
                return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True))

    def assert_good_at(self, certificate, moment, authority):
        file = self.scratch / "served.pem"
        file.write_text(certificate)
        run("openssl", "verify", "-CAfile", authority, "-attime", int(moment.timestamp()), "-verify_hostname", HOSTNAME, file)
        run("openssl", "verify", "-CAfile", authority, "-attime", int(moment.timestamp()), "-verify_ip", ADDRESS, file)

    def test_it_is_renewed_in_time_by_the_authority_that_devices_imported(self):
        disk = self.new_disk()
        disk.drop(self.files | {"postern.toml": self.files["postern.toml"] + NO_TIME_SERVER.encode()})
        machine = self.start_machine(disk)
        machine.wait_for(NOTICE_WRITTEN)
        authority = self.scratch / "box-ca.pem"
        authority.write_bytes(disk.efi_file("POSTERN-CA.CRT"))
        first, now = self.served(machine), datetime.datetime.now(datetime.timezone.utc)
        self.assert_good_at(first, now, authority)
        machine.pull_the_plug()
        later = now + RENEWED_AFTER
        machine.clock = later.strftime("%Y-%m-%dT%H:%M:%S")
        machine.start()
        machine.wait_for("the certificate is new")
        machine.wait_until(lambda: self.served(machine) != first, "the new certificate is served")
        self.assert_good_at(self.served(machine), later + RENEWED_AFTER, authority)  # the first one has ended by then
        self.assertEqual(disk.efi_file("POSTERN-CA.CRT"), authority.read_bytes())
