"""What the tests of power cuts share: a box whose writes are logged, media as cuts leave them, and what makes one bootable.

Promise: a medium that breaks a promise is told with its cut; log and disk are kept, with the command that makes this medium
again. The cuts come from one seed, printed with the figures; POSTERN_SEED takes it again (the log is another one each time).
"""

import concurrent.futures
import hashlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

from machine import Disk, EFI_AT, EFI_BYTES, run
from write_log import Replay, WriteLog

SEED = int(os.environ.get("POSTERN_SEED", "0")) or random.randrange(1, 1 << 32)
WORKERS = 2
STATES_MIN = 100  # different ones
FAILURES_MAX = 5  # told of one test
EFI = (EFI_AT, EFI_AT + EFI_BYTES)


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


class PowerCuts:
    """Made before the machine starts with `write_log=cuts.log_file`; finish() pulls the plug and reads the log."""

    def __init__(self, disk, scratch):
        self.disk, self.scratch = disk, pathlib.Path(tempfile.mkdtemp(dir=scratch))
        self.log_file, self.before = self.scratch / "log", self.scratch / "before.img"
        run("cp", "--sparse=always", disk.file, self.before)

    def log_bytes(self):
        return os.path.getsize(self.log_file)

    def finish(self, machine):
        machine.pull_the_plug()
        machine.write_log = None
        self.log = WriteLog(self.log_file)

    def examine(self, cuts, regions, check, workers=WORKERS):
        """check(cut, medium, a directory of its own) for each; an AssertionError is a broken promise."""
        replay, broken, running = Replay(self.log, self.before, regions), [], set()

        def take(done):
            running.difference_update(done)
            broken.extend(told for told in (each.result() for each in done) if told)

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for cut in cuts:
                place = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
                replay.write(cut, place / "disk.img")
                running.add(pool.submit(self._examine_one, cut, place, check))
                if len(running) > workers:
                    take(concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED).done)
            take(concurrent.futures.wait(running).done)
        if broken:
            raise AssertionError(f"{len(broken)} of {len(cuts)} states (seed {SEED}) break a promise:\n" +
                                 "\n".join(broken[:FAILURES_MAX]) + f"\n{self._kept()}")

    def _examine_one(self, cut, place, check):
        try:
            check(cut, Disk(None, place / "disk.img"), place)
            return None
        except AssertionError as error:
            return f"{cut}: {error}"
        finally:
            shutil.rmtree(place)

    def _kept(self):
        kept = pathlib.Path(tempfile.mkdtemp(prefix="postern-power-cut-"))
        for file in (self.log_file, self.before):
            run("cp", "--sparse=always", file, kept)
        return f"a state again: tests/firmware/write_log.py {kept}/log {kept}/before.img CUT OUTPUT"


def bounds(disk, name):
    """(begin, end) of a partition, in octets."""
    place = disk.partitions()[name]
    return place["start"] * 512, (place["start"] + place["size"]) * 512


def octets_at(disk, begin, count):
    with open(disk.file, "rb") as file:
        file.seek(begin)
        return file.read(count)


def take_out(disk, region, file):
    """A region as a file of its own, for programs that want one."""
    begin, end = region
    run("dd", f"if={disk.file}", f"of={file}", "bs=1M", f"skip={begin}", f"count={end - begin}", "iflag=skip_bytes,count_bytes",
        "conv=sparse")
    return file


class Bootable:
    """Knows the images that may be in the slots: {slot: (kernel image's hash, octets of the root, their hash)}."""

    def __init__(self, disk, images):
        self.images = images
        self.roots = {slot: bounds(disk, f"postern-root-{slot}") for slot in images}
        names = [f"EFI/BOOT/{name}" for name in disk.efi_names("EFI/BOOT")]  # one, called after the machine
        self.boot_loader = {name: disk.efi_file(name) for name in (*names, "loader/loader.conf")}
        self.regions = [(0, EFI[0]), EFI, *self.roots.values()]

    @staticmethod
    def image_in(disk, slot):
        """What a box runs that is known to be good."""
        [name] = [name for name in disk.efi_names("EFI/Linux") if name.startswith(f"postern-{slot}")]
        begin, end = bounds(disk, f"postern-root-{slot}")
        return sha256(disk.efi_file(f"EFI/Linux/{name}")), end - begin, sha256(octets_at(disk, begin, end - begin))

    def check(self, _, disk, place):
        """The boot loader is whole, and so is every image that it could choose, with its root; slot a's is always there."""
        for name, content in self.boot_loader.items():
            if disk.efi_file(name) != content:
                raise AssertionError(f"{name} is damaged")
        images = self._images_to_choose(disk)
        for name, content in images.items():
            slot = self._slot_of(name)
            kernel, root_bytes, root = self.images.get(slot, ("", 0, ""))
            if sha256(content) != kernel:
                raise AssertionError(f"{name} is none of the kernel images")
            if sha256(octets_at(disk, self.roots[slot][0], root_bytes)) != root:
                raise AssertionError(f"{name} has a damaged root")
        self._check_file_system(disk, place, images)

    @staticmethod
    def _slot_of(name):
        return name.lower().removeprefix("postern-")[:1]

    @staticmethod
    def _images_to_choose(disk):
        """{name: octets}; the boot loader passes over what does not begin as a program for DOS (PE format, "MS-DOS Stub")."""
        names = [name for name in disk.efi_names("EFI/Linux") if name.lower().endswith(".efi")]
        images = {}
        for name in names:
            content = disk.efi_file_as_far_as_it_goes(f"EFI/Linux/{name}")
            if content.startswith(b"MZ"):
                images[name] = content
        if not any(Bootable._slot_of(name) == "a" for name in images):
            raise AssertionError(f"the kernel image of slot a, which nothing replaced, cannot be started; there are {names}")
        return images

    def _check_file_system(self, disk, place, images):
        """Damage is only in what was being written or removed, never in what boots. Files share their place only where a
        renaming of one slot's image was halved (firmware/init/slots.hpp)."""
        efi = take_out(disk, EFI, place / "efi.img")
        done = subprocess.run(["/sbin/fsck.fat", "-n", efi], capture_output=True, text=True, check=False)
        told = done.stdout
        for one, other in re.findall(r"^/EFI/Linux/(\S+)  and\n/EFI/Linux/(\S+)\n  share clusters\.\n  Truncating second.*\n", told,
                                     re.MULTILINE):
            if {one, other} <= images.keys() and self._slot_of(one) == self._slot_of(other):
                told = re.sub(rf"^/EFI/Linux/({re.escape(one)}|{re.escape(other)})\b.*\n( .*\n)*", "", told, flags=re.MULTILINE)
        names = "|".join(re.escape(name) for name in images)
        bad = re.search(rf"^/(EFI/BOOT|loader)|^/EFI/Linux/({names})$|share", told, re.IGNORECASE | re.MULTILINE)
        if done.returncode > 1 or bad:
            raise AssertionError(f"fsck.fat ends with {done.returncode}: {done.stdout}{done.stderr}")
