"""Configurations dropped on the EFI partition: a good one takes effect, a bad one is refused and the old one stays."""

import socket
import re
import smtplib
import ssl
import subprocess

import relay as relays
from box import BoxTest, HOST_ADDRESS, UPSTREAM_PASSWORD, seconds_to_ready
from machine import MEGABYTE, Stick

PORTS = (465, 587)      # box.BoxTest.configuration_text
IDLE_CLIENTS = 100
MEMORY_MEGABYTES_MAX = 64
READY_SECONDS_MAX = 30  # emulated
RELAY_USER = 990        # firmware/init/storage.hpp
PROBLEMS = "POSTERN-PROBLEMS.TXT"
FIXED_ADDRESS, LEASED_ADDRESS = "10.0.2.77", "10.0.2.15"  # the emulator gives the latter by DHCP
NETWORK = f"""
[network]
address = "{FIXED_ADDRESS}/24"
router = "{HOST_ADDRESS}"
name_servers = ["10.0.2.3"]
"""


class ADroppedConfiguration(BoxTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.disk = cls.new_disk()
        cls.files = cls.configuration_files(cls.upstream)
        cls.by_dhcp = cls.files["postern.toml"]
        cls.files["postern.toml"] += NETWORK.encode()
        cls.disk.drop(cls.files)
        cls.key_line = cls.files["tls/relay.key"].splitlines()[1]
        cls.secrets_stood_there = all(map(cls.disk.efi_holds, (UPSTREAM_PASSWORD.encode(), cls.key_line)))
        cls.machine = cls.start_machine(cls.disk, forwarded=(22, 23, 25, 80, 443, *PORTS), address=FIXED_ADDRESS)
        cls.machine.wait_for("ready to accept mail")
        cls.machine.wait_for(f"the address is {FIXED_ADDRESS}")

    def test_no_port_is_open_but_the_configured_ones(self):
        for port in PORTS:
            self.assertIsNotNone(self.machine.answer_at(port, ssl._create_unverified_context() if port == 465 else None))
        self.assert_no_port_is_open(self.machine, but=PORTS)

    def test_mail_arrives_signed_over_verified_tls(self):
        self.submit(self.machine, self.authority.ca_file, "a scan")
        [message] = [each for each in self.upstream.wait(1, 120) if b"a scan" in each.content]
        self.assertEqual((message.user, message.recipients[0][0]), ("relay@office.example", "anna@far.example"))
        self.assertEqual(message.tls_version, "TLSv1.3")
        self.assert_signed(message, self.records)

    def test_a_wrong_password_and_no_password_send_nothing(self):
        with self.assertRaises(smtplib.SMTPAuthenticationError):
            self.submit(self.machine, self.authority.ca_file, "never", password="wrong")
        with smtplib.SMTP_SSL("localhost", self.machine.ports[465], context=self.trusting(self.authority.ca_file)) as device:
            device.ehlo()
            self.assertEqual(device.mail(relays.SENDER)[0], 530)

    def test_starttls_is_offered_and_nothing_else_in_clear(self):
        with smtplib.SMTP("localhost", self.machine.ports[587], timeout=60) as device:
            device.ehlo()
            self.assertTrue(device.has_extn("starttls"))
            self.assertFalse(device.has_extn("auth"))

    def test_it_is_ready_in_time_and_within_its_memory_with_idle_clients(self):
        ready = seconds_to_ready(self.machine.console())
        self.figure("kernel's start to ready for mail, s", f"{ready:.1f}")
        context, clients = self.trusting(self.authority.ca_file), []
        try:
            before, _ = self.machine.memory_used()
            for _ in range(IDLE_CLIENTS):
                plain = socket.create_connection(("localhost", self.machine.ports[465]), 60)
                clients.append(context.wrap_socket(plain, server_hostname="localhost"))
                self.assertTrue(clients[-1].recv(512).startswith(b"220 "))
            used, total = self.machine.memory_used()
        finally:
            for client in clients:
                client.close()
        given = self.machine.memory * MEGABYTE
        self.figure("memory in use of what the kernel manages, no client, MB", f"{before / 1e6:.1f}")
        self.figure(f"the same, {IDLE_CLIENTS} idle TLS clients, MB (of {total / 1e6:.0f})", f"{used / 1e6:.1f}")
        self.figure(f"not counted: kernel itself, firmware, MB (of {given / 1e6:.0f})", f"{(given - total) / 1e6:.1f}")
        self.assertLess(used / 1e6, MEMORY_MEGABYTES_MAX)
        self.assertLess(ready, READY_SECONDS_MAX)

    def test_what_was_dropped_moved_and_left_nothing_behind(self):
        self.assertTrue(self.secrets_stood_there)
        left = {name.lower() for name in self.disk.efi_names()}
        self.assertFalse(left & {"postern.toml", "users.d", "tls", "dkim", "secrets", PROBLEMS.lower()}, left)
        self.assertFalse(self.disk.efi_holds(UPSTREAM_PASSWORD.encode()))
        self.assertFalse(self.disk.efi_holds(self.key_line))
        self.machine.pull_the_plug()
        data = self.disk.data_partition(self.scratch / "data.img")
        for name, content in self.files.items():
            kept = subprocess.run(["/sbin/debugfs", "-R", f"cat /config/{name}", data], capture_output=True, check=True).stdout
            self.assertEqual(kept, content, name)
            facts = subprocess.run(["/sbin/debugfs", "-R", f"stat /config/{name}", data], capture_output=True, text=True,
                                   check=True).stdout
            self.assertRegex(facts, r"Mode:\s+0600\b", name)
            self.assertRegex(facts, rf"User:\s+{RELAY_USER}\b", name)
        self.machine.start()
        self.machine.wait_for("ready to accept mail")
        self.machine.wait_for(f"the address is {FIXED_ADDRESS}")

    def test_nothing_is_taken_from_a_stick_whose_secrets_could_not_be_removed(self):
        stick = Stick(self.scratch / "protected.img")
        stick.drop({"postern.toml": self.by_dhcp})
        self.machine.plug(stick, write_protected=True)
        self.machine.wait_for("nothing is done with it, because it is write-protected")
        self.machine.pull()
        self.assertEqual(stick.names(), ["postern.toml"])
        self.assertNotIn(f"the address is {LEASED_ADDRESS}", self.machine.console())

    def test_without_a_fixed_address_it_asks_for_one_and_who_is_left_out_of_users_d_is_no_user_any_more(self):
        stick = Stick(self.scratch / "stick.img")
        other = relays.user_table("copier-3")
        stick.drop({"postern.toml": self.by_dhcp, "users.d/copier-3.toml": other.encode()})
        self.machine.plug(stick)
        self.machine.wait_for("the dropped configuration is in force")
        self.machine.wait_for(f"the address is {LEASED_ADDRESS}")
        data = self.disk.data_partition(self.scratch / "data.img")
        users = subprocess.run(["/sbin/debugfs", "-R", "ls -l /config/users.d", data], capture_output=True, text=True,
                               check=True).stdout
        self.assertIn("copier-3.toml", users)
        self.assertNotIn("copier-2.toml", users)


class ABadConfiguration(BoxTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.start_upstream()
        cls.good = cls.configuration_files(cls.upstream)
        cls.bad = {"postern.toml": cls.good["postern.toml"].replace(b'tls = "implicit"', b'tls = "maybe"')}

    def assert_refused(self, machine):
        machine.wait_for("the dropped configuration is refused")
        self.assertRegex(machine.wait_for("maybe"), r"postern\.toml:\d+:\d+: tls is \"maybe\"")

    def assert_told_beside_it(self, disk):
        self.assertRegex(disk.efi_file(PROBLEMS).decode(), r"postern\.toml:\d+:\d+: tls is \"maybe\"")
        self.assertIn("postern.toml", disk.efi_names())

    def test_alone_it_opens_no_port(self):
        disk = self.new_disk(name="alone")
        disk.drop(self.good | self.bad)
        machine = self.start_machine(disk)
        self.assert_refused(machine)
        machine.wait_for("no configuration yet")
        machine.wait_for("the address is ")
        self.assert_no_port_is_open(machine)
        self.assert_told_beside_it(disk)
        machine.pull_the_plug()

    def test_the_old_one_stays_in_force(self):
        disk = self.new_disk(name="second")
        disk.drop(self.good)
        machine = self.start_machine(disk)
        machine.wait_for("ready to accept mail")
        machine.pull_the_plug()
        disk.drop(self.bad)
        machine.start()
        self.assert_refused(machine)
        machine.wait_for("ready to accept mail")
        self.assert_told_beside_it(disk)
        self.submit(machine, self.authority.ca_file, "after a bad drop")
        self.assertIn(b"after a bad drop", self.upstream.wait(1, 120)[-1].content)
        machine.pull_the_plug()
