"""A box with two wired interfaces, a provider that is reached by IPv6, and one that is none."""

from authority import Authority
from box import BoxTest, HOST_ADDRESS
from machine import Machine

FIRST_ADDRESS, SECOND_ADDRESS = "10.0.2.15", "10.0.3.15"


class ABoxWithTwoInterfaces(BoxTest):
    """Its provider is in the first one's network, at an address of IPv6."""
    long = True
    upstream_address = "fec0::2"

    def test_mail_that_came_by_one_arrives_by_the_other_when_the_cable_is_moved(self):
        upstream = self.start_upstream()
        disk = self.new_disk()
        disk.drop(self.configuration_files(upstream))
        machine = self.start_machine(disk, second_network=True)
        machine.cable("first", False)  # before there is a kernel
        machine.wait_for(f"the address is {SECOND_ADDRESS}")
        machine.wait_for("ready to accept mail")
        self.submit(machine, self.authority.ca_file, "waits for the other network", port=machine.second_ports[465])
        self.assertEqual(upstream.accepted(), [])

        machine.cable("second", False)
        machine.cable("first", True)
        machine.wait_for(f"the address is {FIRST_ADDRESS}")
        [message] = upstream.wait(1, 300)
        self.assertIn(b"waits for the other network", message.content)
        self.assert_signed(message, self.records)
        self.submit(machine, self.authority.ca_file, "by the first")
        self.assertIn(b"by the first", upstream.wait(2, 120)[-1].content)
        machine.pull_the_plug()


class AnUpstreamOfAnotherAuthority(BoxTest):
    long = True

    def test_it_gets_no_mail(self):
        upstream = self.start_upstream()
        impostor = Authority(self.scratch / "impostor")
        upstream.use_certificate(*impostor.issue("upstream", [HOST_ADDRESS]))
        disk = self.new_disk()
        disk.drop(self.configuration_files(upstream))
        machine = self.start_machine(disk)
        machine.wait_for("ready to accept mail")
        self.submit(machine, self.authority.ca_file, "for an impostor")
        Machine.wait_until(lambda: upstream.connections, "the upstream is tried")
        machine.wait_for("event=recipient-delayed")
        commands = [line for connection in upstream.connections for _, line in connection]
        self.assertIn("STARTTLS", commands)
        self.assertFalse([line for line in commands if line.startswith(("AUTH", "MAIL"))], commands)
        machine.pull_the_plug()
