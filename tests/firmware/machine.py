"""A box in the emulator: a copy of the image as its disk, UEFI firmware, a serial console that is read all the time.

    with Machine(disk) as machine:
        machine.wait_for("ready to accept mail")

Promise: nothing of the host is reachable for the guest but what listens on the host's loopback (10.0.2.2 to the guest); only
the ports asked for are forwarded to it. Every wait is for something the box says, bounded by SECONDS_MAX. A restart of the
guest ends the emulator unless a test expects restarts, so that no crash goes unseen. Hardware virtualisation is never used.
"""

import contextlib
import json
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

SECONDS_MAX = 300  # for one thing to happen; an emulated boot takes 20 s on an idle machine of two cores
MEMORY_MEGABYTES = 192  # with 128 the kernel's EFI stub finds no room to unpack the kernel beside OVMF; with 160 it does
MEGABYTE = 1 << 20
EFI_AT = 1 * MEGABYTE  # firmware/image/disk.py: the partitions begin behind the first megabyte, without gaps
EFI_BYTES = 208 * MEGABYTE
STICK_MEGABYTES = 128
ROOT_A_AT = EFI_AT + EFI_BYTES
ROOT_B_AT = ROOT_A_AT + 16 * MEGABYTE
RASPBERRY_PI = "raspberry pi 3"
BOARD_TREE = "bcm2837-rpi-3-b.dtb"
BOARD_WATCHDOG = b"brcm,bcm2835-pm"  # the emulated one resets the board in the moment that it is started: it gets another name
EMULATORS = {
    "amd64": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
    # With SMM, so that only the firmware itself can write the variables that hold the enrolled keys.
    "amd64 secure boot": ["qemu-system-x86_64", "-M", "q35,smm=on", "-cpu", "max",
                          "-global", "driver=cfi.pflash01,property=secure,value=on"],
    # The kernel has to gather its random numbers itself, which takes until something waits for them.
    "amd64 without random numbers": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max,rdrand=off,rdseed=off"],
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"],
    RASPBERRY_PI: ["qemu-system-aarch64", "-M", "raspi3b"],  # has 1 GB, four cores and no clock
}
FIRMWARE = {  # its code, and its variables at the first start; for Secure Boot with Debian's snakeoil key enrolled
    "amd64": ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    "amd64 secure boot": ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"),
    "amd64 without random numbers": ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    "arm64": ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
}


def run(*command, **settings):
    settings = settings if "input" in settings else {"stdin": subprocess.DEVNULL} | settings
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, timeout=SECONDS_MAX, **settings)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    for port in random.sample(range(20000, 32000), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port between 20000 and 32000 is free")


class Fat:
    """A FAT file system inside a file, by mtools."""

    def __init__(self, file, at, octets):
        self.file, self._at, self._octets = pathlib.Path(file), at, octets
        self._fat = f"{self.file}@@{at}"

    def drop(self, files):
        """{path: octets}"""
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                directory, _, _ = name.rpartition("/")
                above, _, last = directory.rpartition("/")
                if directory and last not in self.names(above):
                    run("mmd", "-i", self._fat, f"::{directory}")
                source = pathlib.Path(scratch) / "file"
                source.write_bytes(content)
                run("mcopy", "-o", "-i", self._fat, source, f"::{name}")

    def remove(self, name):
        run("mdel", "-i", self._fat, f"::{name}")

    def names(self, directory=""):
        """Names in a directory; in the top one when none is given."""
        listed = run("mdir", "-b", "-i", self._fat, f"::/{directory}", text=True)
        return [line.strip("/").rpartition("/")[2] for line in listed.splitlines()]

    def content(self, name):
        return run("mtype", "-i", self._fat, f"::{name}")

    def as_far_as_it_goes(self, name):
        """Of a file that may be broken off."""
        return subprocess.run(["mtype", "-i", self._fat, f"::{name}"], capture_output=True, check=False).stdout

    def holds(self, octets):
        """Whether the octets stand anywhere in it, in a file or not."""
        with open(self.file, "rb") as file:
            file.seek(self._at)
            return octets in file.read(self._octets)


class Stick(Fat):
    """A USB stick: one FAT partition, or the file system alone where `partition` is False."""

    def __init__(self, file, megabytes=STICK_MEGABYTES, partition=True):
        at = MEGABYTE if partition else 0
        super().__init__(file, at, megabytes * MEGABYTE - at)
        with open(self.file, "wb") as stick:
            stick.truncate(megabytes * MEGABYTE)
        if partition:
            run("/sbin/sfdisk", "--quiet", self.file, input=b"label: dos\nstart=2048, type=c\n")
        run("mformat", "-i", self._fat, "-T", self._octets // 512, "-h", 64, "-s", 32, "::")


class NamedPartition:
    """A medium with one partition of zeros under that name."""

    def __init__(self, file, name):
        self.file = file
        with open(file, "wb") as medium:
            medium.truncate(STICK_MEGABYTES * MEGABYTE)
        run("/sbin/sfdisk", "--quiet", file, input=f"label: gpt\nstart=2048, name={name}\n".encode())


class Disk(Fat):
    """A copy of the image, optionally on a larger medium; without an image the file as it is."""

    def __init__(self, image, file, megabytes=None):
        super().__init__(file, EFI_AT, EFI_BYTES)
        if image:
            run("cp", "--sparse=always", image, self.file)
        if megabytes:
            if megabytes * MEGABYTE < self.file.stat().st_size:
                raise AssertionError(f"the image does not fit onto a medium of {megabytes} MB")
            with open(self.file, "r+b") as disk:
                disk.truncate(megabytes * MEGABYTE)

    # Of the EFI partition.
    efi_names, efi_file, efi_holds = Fat.names, Fat.content, Fat.holds
    efi_file_as_far_as_it_goes = Fat.as_far_as_it_goes

    def put_beside_a_good_slot_a(self, parts):
        """What is in slot a was good; this stands in slot b as an update that was installed and not started yet."""
        self.drop({"EFI/Linux/postern-a.efi": self.efi_file("EFI/Linux/postern-a+3.efi")})
        self.remove("EFI/Linux/postern-a+3.efi")
        with open(self.file, "r+b") as disk:
            disk.seek(ROOT_B_AT)
            disk.write((parts / "root.img").read_bytes())
        self.drop({"EFI/Linux/postern-b+3.efi": (parts / "b.efi").read_bytes()})

    def put_into_slot_a(self, parts):
        """What firmware/build left beside an image, in place of the image's own."""
        with open(self.file, "r+b") as disk:
            disk.seek(ROOT_A_AT)
            disk.write((parts / "root.img").read_bytes())
        self.drop({"EFI/Linux/postern-a+3.efi": (parts / "a.efi").read_bytes()})

    def flip_a_bit(self, root_at):
        """In the date that the squashfs was made: nobody but dm-verity cares."""
        with open(self.file, "r+b") as file:
            file.seek(root_at + 8)
            octet = file.read(1)[0]
            file.seek(root_at + 8)
            file.write(bytes([octet ^ 1]))

    def partitions(self):
        """As sfdisk reads the table: [{name, start, size, …}] in sectors."""
        table = json.loads(run("/sbin/sfdisk", "--json", self.file, text=True))
        return {partition["name"]: partition for partition in table["partitiontable"]["partitions"]}

    def data_partition(self, file):
        """A copy of the data partition with its journal replayed, for debugfs."""
        place = self.partitions()["postern-data"]
        run("dd", f"if={self.file}", f"of={file}", "bs=1M", f"skip={place['start'] * 512}", f"count={place['size'] * 512}",
            "iflag=skip_bytes,count_bytes", "conv=sparse")
        subprocess.run(["/sbin/e2fsck", "-fy", str(file)], capture_output=True, check=False)
        run("/sbin/e2fsck", "-fn", file)
        return file

    def replace_data_partition(self, file):
        """By what such a copy has become."""
        place = self.partitions()["postern-data"]
        run("dd", f"if={file}", f"of={self.file}", "bs=1M", f"seek={place['start'] * 512}", "oflag=seek_bytes", "conv=notrunc")


class Machine:
    def __init__(self, disk, kind="amd64", forwarded=(465, 587), memory_megabytes=MEMORY_MEGABYTES, clock="utc", restarts=False,
                 write_log=None, address="", second_network=False):
        self.disk, self.kind, self.memory, self.clock = disk, kind, memory_megabytes, clock
        self.address = address  # the guest's, where it does not ask for one
        self.write_log = write_log  # a file that gets all that is written to the disk, for write_log.py
        self._on_restart = [] if restarts else ["-no-reboot"]
        self.ports = {guest: free_port() for guest in forwarded}
        # Of a second network interface, whose network is 10.0.3.0/24; the host is 10.0.3.2 there.
        self.second_ports = {guest: free_port() for guest in forwarded} if second_network else {}
        self._scratch = None
        self._process = None
        self._changed = threading.Condition()
        self._console = b""
        self._ended = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"--- the console's end:\n{self.console()[-8000:]}")
        self.pull_the_plug()

    def start(self):
        self._scratch = tempfile.TemporaryDirectory(prefix="postern-machine-")
        scratch = pathlib.Path(self._scratch.name)
        forwards = self._forwards(self.ports)
        self._console, self._ended, self.begun = b"", False, time.monotonic()
        self._process = subprocess.Popen(
            [*EMULATORS[self.kind], "-accel", "tcg,thread=multi", "-nodefaults", "-no-user-config", *self._on_restart,
             "-display", "none", "-qmp", f"unix:{scratch}/qmp,server=on,wait=off",
             *(self._raspberry_pi(scratch, forwards) if self.kind == RASPBERRY_PI else self._uefi_machine(scratch, forwards))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read_console, args=(self._process,), daemon=True).start()

    def _forwards(self, ports):
        return "".join(f",hostfwd=tcp:127.0.0.1:{host}-{self.address}:{guest}" for guest, host in ports.items())

    def _uefi_machine(self, scratch, forwards):
        code, variables = FIRMWARE[self.kind]
        shutil.copyfile(variables, scratch / "vars.fd")
        return ["-smp", "2", "-m", str(self.memory), "-serial", "stdio", "-rtc", f"base={self.clock}",
                "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                "-drive", f"if=pflash,format=raw,unit=1,file={scratch}/vars.fd",
                *self._drive(),
                "-netdev", f"user,id=network{forwards}", "-device", "virtio-net-pci,netdev=network,id=first",
                *self._second_interface(),
                *([] if "without random" in self.kind else ["-device", "virtio-rng-pci"]),
                "-device", "i6300esb", "-device", "virtio-balloon-pci,id=balloon",
                "-device", "qemu-xhci,id=usb"]

    def _second_interface(self):
        if not self.second_ports:
            return []
        return ["-netdev", f"user,id=other,net=10.0.3.0/24,ipv6-prefix=fec1::{self._forwards(self.second_ports)}",
                "-device", "virtio-net-pci,netdev=other,id=second"]

    def _raspberry_pi(self, scratch, forwards):
        """The emulator has no boot ROM to read the card: it gets U-Boot and the device tree out of the image. The second serial
        port is the one at the board's pins."""
        tree = self.disk.efi_file(BOARD_TREE)
        if tree.count(BOARD_WATCHDOG) != 2:
            raise AssertionError("the device tree names its watchdog in another way")
        (scratch / "tree").write_bytes(tree.replace(BOARD_WATCHDOG, b"none" + BOARD_WATCHDOG[4:]))
        (scratch / "u-boot").write_bytes(self.disk.efi_file("u-boot.bin"))
        return ["-serial", "null", "-serial", "stdio", "-kernel", f"{scratch}/u-boot", "-dtb", f"{scratch}/tree",
                "-drive", f"if=sd,format=raw,file={self.disk.file}", "-netdev", f"user,id=network{forwards}"]

    def _drive(self):
        if not self.write_log:
            return ["-drive", f"if=virtio,format=raw,file={self.disk.file}"]
        pathlib.Path(self.write_log).write_bytes(b"")
        # Without a real sync of the host's files a flush is logged in the moment it is asked for. The filter mixes up a write of
        # zeros with what comes at the same time, and fails at a request of more than 1022 pieces (UIO_MAXIOV, two are its own):
        # up to 32 are merged, and each has two pieces less than the queue is long.
        settings = (f"virtio-blk-device.{each}" for each in ("write-zeroes=off", "discard=off", "queue-size=32"))
        return ["-drive", f"if=virtio,driver=blklogwrites,file.driver=file,file.filename={self.disk.file},file.cache.no-flush=on,"
                          f"log.driver=file,log.filename={self.write_log},log.cache.no-flush=on",
                *(word for each in settings for word in ("-global", each))]

    def _read_console(self, process):
        while octets := process.stdout.read1(4096):
            with self._changed:
                self._console += octets
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def console(self):
        with self._changed:
            return self._console.decode(errors="replace")

    def wait_for(self, words, seconds=SECONDS_MAX):
        """Waits until the console shows these words with the rest of their line, and gives all it showed so far."""
        needle = words.encode()

        def shown():
            at = self._console.find(needle)
            return at >= 0 and b"\n" in self._console[at:]

        with self._changed:
            self._changed.wait_for(lambda: shown() or self._ended, seconds)
            if needle not in self._console:
                why = "ended" if self._ended else f"did not say it within {seconds} s"
                raise AssertionError(f"'{words}' expected on the console; the box {why}:\n"
                                     f"{self._console.decode(errors='replace')[-6000:]}")
        return self.console()

    def wait_until_it_ends(self):
        """A guest that restarts or switches off ends the emulator."""
        self._process.wait(SECONDS_MAX)
        with self._changed:
            self._changed.wait_for(lambda: self._ended, SECONDS_MAX)

    def pull_the_plug(self):
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, SECONDS_MAX)
        self._process.stdout.close()
        self._process = None
        self._scratch.cleanup()

    def plug_network(self):
        """On a Raspberry Pi, each time that U-Boot is through: the emulated USB does not tell Linux of what U-Boot found there."""
        self.wait_for("EFI stub: Exiting boot services")
        with self._monitor() as ask:
            ask("device_add", driver="usb-net", id="adapter", netdev="network")

    def cable(self, interface, there):
        """Of the "first" or "second" interface."""
        with self._monitor() as ask:
            ask("set_link", name=interface, up=there)

    def plug(self, stick, write_protected=False):
        """Until it is pulled, or the plug of the whole machine is."""
        with self._monitor() as ask:
            ask("blockdev-add", **{"driver": "raw", "node-name": "stick", "read-only": write_protected,
                                   "file": {"driver": "file", "filename": str(stick.file)}})
            ask("device_add", driver="usb-storage", id="plugged", bus="usb.0", drive="stick")

    def pull(self):
        with self._monitor() as ask:
            ask("device_del", id="plugged")
            self.wait_until(lambda: self._goes_away(ask), "the stick is gone")

    @staticmethod
    def _goes_away(ask):
        try:
            ask("blockdev-del", **{"node-name": "stick"})
        except AssertionError:  # still in use
            return False
        return True

    @staticmethod
    def wait_until(true, what, seconds=SECONDS_MAX):
        """For what no sentence on the console tells; looks twice a second."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.5)

    def answer_at(self, port, tls=None, seconds=30, name="localhost"):
        """What a guest's port says first; None when nothing listens there (the emulator takes the connection and drops it)."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[port]), seconds) as plain:
                plain.settimeout(seconds)
                if tls is None:
                    return plain.recv(512) or None
                with tls.wrap_socket(plain, server_hostname=name) as secured:
                    return secured.recv(512) or None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return None

    def memory_used(self):
        """(octets in use as the guest's kernel counts them, octets of its memory that the kernel manages)"""
        with self._monitor() as ask:
            ask("qom-set", path="/machine/peripheral/balloon", property="guest-stats-polling-interval", value=1)
            deadline, asked = time.monotonic() + SECONDS_MAX, int(time.time())
            while time.monotonic() < deadline:
                found = ask("qom-get", path="/machine/peripheral/balloon", property="guest-stats")
                if found["last-update"] > asked:
                    return (found["stats"]["stat-total-memory"] - found["stats"]["stat-available-memory"],
                            found["stats"]["stat-total-memory"])
                time.sleep(0.2)
        raise AssertionError("the guest did not tell how much memory it uses")

    @contextlib.contextmanager
    def _monitor(self):
        place = pathlib.Path(self._scratch.name) / "qmp"
        self.wait_until(place.exists, "the emulator can be talked to")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS_MAX)
            connection.connect(str(place))
            lines = connection.makefile("rw")
            json.loads(lines.readline())

            def ask(command, **arguments):
                lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                lines.flush()
                while True:
                    answer = json.loads(lines.readline())
                    if "return" in answer:
                        return answer["return"]
                    if "error" in answer:
                        raise AssertionError(f"{command}: {answer['error']}")

            ask("qmp_capabilities")
            yield ask
