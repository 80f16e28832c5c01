"""What is on the root and in the initial memory, file by file; and what a program in the relay's place may do on the box."""

import re
import struct
import unittest

import box
import image_builder
from image_builder import BUILD, as_root
from machine import run

# Whole: no shell, no package manager, nothing that lets anybody in.
ROOT_FILES = {
    "etc/group": "-rw-r--r--", "etc/hosts": "-rw-r--r--", "etc/passwd": "-rw-r--r--", "etc/postern-release.pub": "-rw-r--r--",
    "etc/resolv.conf -> /run/resolv.conf": "lrwxrwxrwx", "etc/ssl/certs/ca-certificates.crt": "-rw-r--r--",
    "sbin/e2fsck": "-rwxr-xr-x", "sbin/supervisor": "-rwxr-xr-x", "usr/bin/postern": "-rwxr-xr-x", "usr/sbin/posternd": "-rwxr-xr-x"}
ROOT_DIRECTORIES = {"", "data", "dev", "etc", "etc/ssl", "etc/ssl/certs", "proc", "run", "sbin", "sys", "tmp", "usr", "usr/bin",
                    "usr/sbin"}
INITIAL_FILES = {"init": "-rwxr-xr-x", "lib/modules/modules.alias": "-rw-r--r--", "lib/modules/modules.dep": "-rw-r--r--",
                 "lib/modules/required": "-rw-r--r--"}
USERS = "root:x:0:0::/:/none\nrelay:x:990:990::/:/none\n"
RELAY_USER = "990"              # firmware/init/storage.hpp
NET_BIND_SERVICE = f"{1 << 10:016x}"  # capabilities(7)
WRITABLE_DEVICES = {f"/dev/{name}" for name in ("full", "null", "ptmx", "random", "tty", "urandom", "zero")}
NAMESAKE = "/proc/sys/kernel/ns_last_pid"  # everybody's by its mode, but the kernel wants a capability for each write
CLOSED = {"nosuid", "nodev", "noexec"}
MOUNTS = {"/": {"ro", "nosuid", "nodev"}, "/dev": {"nosuid"}, "/proc": CLOSED, "/sys": CLOSED, "/run": CLOSED, "/tmp": CLOSED,
          "/data": CLOSED}


def section(file, name):
    """Of a kernel image (PE): what the section with this name holds."""
    content = file.read_bytes()
    [header] = struct.unpack_from("<I", content, 0x3c)
    [count], [optional] = struct.unpack_from("<H", content, header + 6), struct.unpack_from("<H", content, header + 20)
    for at in range(header + 24 + optional, header + 24 + optional + 40 * count, 40):
        if content[at:at + 8].rstrip(b"\0").decode() == name:
            size, _, _, start = struct.unpack_from("<IIII", content, at + 8)
            return content[start:start + size]
    raise AssertionError(f"{file} has no section {name}")


class WhatRunsOnABox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.parts = box.image().with_suffix(".parts")
        cls.tools = BUILD / image_builder.architecture_of(box.image()) / "tools"

    def looked_at(self, content, command):
        """By the build's own tools, which need not be on this machine."""
        file = image_builder.keys() / f"looked-at-{image_builder.architecture_of(box.image())}"
        file.write_bytes(content)
        inside = self.tools / "build/looked-at"
        self.addCleanup(as_root, "rm", "-f", inside)
        as_root("cp", file, inside)
        return as_root("chroot", self.tools, "sh", "-c", command)

    def test_the_root_holds_these_files_and_no_others(self):
        told = self.looked_at((self.parts / "root.img").read_bytes(), "unsquashfs -s /build/looked-at | grep -i xattr; "
                              "unsquashfs -cat /build/looked-at etc/passwd; unsquashfs -lln /build/looked-at")
        self.assertTrue(told.startswith(f"Xattrs are not stored\n{USERS}"), told)  # so no file has capabilities either
        listed = re.findall(r"^([-a-zA-Z]{10}) (\S+) .*? squashfs-root/?(.*)$", told, re.MULTILINE)
        self.assertEqual(len(listed), len(re.findall(r"^\S+ .*squashfs-root", told, re.MULTILINE)))
        self.assertEqual({owner for _, owner, _ in listed}, {"0/0"})
        self.assertEqual({name: mode for mode, _, name in listed if mode[0] != "d"}, ROOT_FILES)
        self.assertEqual({name: mode for mode, _, name in listed if mode[0] == "d"}, dict.fromkeys(ROOT_DIRECTORIES, "drwxr-xr-x"))

    def test_it_brings_the_authorities_of_the_world(self):
        told = self.looked_at((self.parts / "root.img").read_bytes(),
                              "unsquashfs -cat /build/looked-at etc/ssl/certs/ca-certificates.crt")
        bundle = image_builder.keys() / "ca-certificates.crt"
        bundle.write_text(told)
        shown = run("openssl", "storeutl", "-noout", "-certs", bundle, text=True)
        self.assertGreater(int(re.search(r"Total found: (\d+)", shown)[1]), 100)
        self.assertEqual(len(re.findall(r"^\d+: Certificate$", shown, re.MULTILINE)), told.count("BEGIN CERTIFICATE"))

    def test_the_initial_memory_holds_the_first_process_and_modules(self):
        told = self.looked_at(section(self.parts / "a.efi", ".initrd"), "xz -dc /build/looked-at | cpio --quiet -itvn")
        listed = re.findall(r"^([-a-zA-Z]{10}) +\d+ (\d+) +(\d+) .* (\S+)$", told, re.MULTILINE)
        self.assertEqual(len(listed), len(told.splitlines()))
        self.assertEqual({(user, group) for _, user, group, _ in listed}, {("0", "0")})
        files = {name: mode for mode, _, _, name in listed if mode[0] != "d"}
        modules = {name for name in files if re.fullmatch(r"lib/modules/kernel/.*\.ko\.xz", name)}
        self.assertGreater(len(modules), 50)
        self.assertEqual(files, INITIAL_FILES | dict.fromkeys(modules, "-rw-r--r--"))


class AProgramInTheRelaysPlace(box.BoxTest):
    """It tells what it sees and may do; telling.cpp."""

    long = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        disk = cls.new_disk()
        disk.put_into_slot_a(image_builder.make_parts("telling", box.image()))
        cls.files = cls.configuration_files(cls.start_upstream())
        disk.drop(cls.files)
        machine = cls.start_machine(disk)
        console = machine.wait_for("telling: has told everything")
        machine.pull_the_plug()
        cls.told = re.findall(r"telling: (.*?)\r*\n", console)

    def behind(self, word):
        return [line[len(word) + 1:] for line in self.told if line.startswith(word + " ")]

    def test_the_root_is_read_only_and_nothing_else_holds_programs(self):
        mounts = {words[1]: (words[2], set(words[3].split(","))) for words in map(str.split, self.behind("mount"))}
        mounts.pop("/run/efi", None)  # there for moments
        self.assertEqual(mounts.keys(), MOUNTS.keys())
        self.assertEqual((mounts["/"][0], mounts["/data"][0]), ("squashfs", "ext4"))
        for place, wanted in MOUNTS.items():
            self.assertLessEqual(wanted, mounts[place][1], place)
        self.assertEqual(self.behind("setuid"), [])

    def test_it_is_the_relays_user_with_one_capability(self):
        status = dict(line.split(":", 1) for line in self.behind("status"))
        self.assertEqual({status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {NET_BIND_SERVICE})
        self.assertEqual({*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()}, {RELAY_USER})
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        self.assertEqual(self.behind("descriptor"), ["0", "1", "2"])

    def test_no_module_can_be_loaded(self):
        self.assertEqual(self.behind("/proc/sys/kernel/modules_disabled"), ["1"])
        self.assertEqual(self.behind("/sys/module/module/parameters/sig_enforce"), ["Y"])

    def test_nothing_listens_but_the_relay(self):
        """Which is not there: no socket but the program's own, those that the box asks the time by, and, when the program
        starts, perhaps the one that DHCP's answers come to (port 68), which is there until the box has its address."""
        for word, asks_for_an_address in (("early", True), ("socket", False)):
            self.assertFalse([line for line in self.behind(word) if "cannot be read" in line])
            listening = set()
            for kind, _, local, remote, state, *_ in map(str.split, self.behind(word)):
                self.assertIn(kind, ("tcp", "tcp6", "udp"))
                if kind != "udp":
                    listening |= {local} if state == "0A" else set()
                elif not (asks_for_an_address and local == "00000000:0044"):
                    self.assertRegex(remote, ":007B$", f"{kind} {local}")  # connected to port 123: takes nothing from others
            self.assertEqual(listening, {"00000000:024B"})

    def test_it_can_write_where_its_data_is_and_nowhere_else(self):
        configuration = {f"/data/config/{name}" for name in (*self.files, "tls/own.crt", "tls/own.key")}
        self.assertEqual(set(self.behind("writable")), {"/data/queue", "/run/notify", "/run/postern", "/tmp", NAMESAKE,
                                                        *WRITABLE_DEVICES, *configuration})

    def test_it_can_do_what_a_relay_does_and_nothing_more(self):
        tried = dict(line.rsplit(": ", 1) for line in self.behind("tried"))
        done = {what.removeprefix("to ") for what, result in tried.items() if result == "done"}
        self.assertEqual(done, {"start /usr/sbin/posternd", "take port 465", "write into /data/queue", "write into /run/postern",
                                "write into /tmp"}, tried)
        self.assertGreater(len(tried), 25)
        self.assertEqual(tried["to load a module"], "Operation not permitted")
