#!/usr/bin/python3
"""Power cuts, out of a log of all that a box wrote to its medium: write_log.py LOG DISK CUT OUTPUT writes one such medium.

QEMU's blklogwrites filter makes the log (Linux's dm-log-writes format). A write stands in it when it is complete, a flush when
it was asked for, and either before the guest hears of it. A cut is named by a flush: all that stands before it is on the
medium; of what stands between it and the next one nothing, all, or any choice of 512-byte sectors is, with a later write over an
earlier one. DISK is the medium before the log began.

Promise: the same log, disk and cut give the same octets. Sharp edge: a medium that tears a sector or lies about flushes is not shown.
"""

import argparse
import dataclasses
import mmap
import os
import random
import struct

SECTOR = 512
MAGIC, VERSION = 0x6A736677736872, 1
FLUSH = 1
TRIES_A_CUT = 4
CHUNK = 64 * 1024  # what holds only zeros is left out of a medium's file in such pieces


@dataclasses.dataclass(frozen=True)
class Flush:
    writes: int  # that stand before it
    log_bytes: int  # where its entry ends


@dataclasses.dataclass(frozen=True)
class Cut:
    flush: int
    keep: str  # of the writes behind the flush "none" or "all"; by chance the "first", some "writes" or some "sectors"
    seed: int = 0

    def __str__(self):
        return f"{self.flush}:{self.keep}:{self.seed}"

    @classmethod
    def parse(cls, text):
        flush, keep, seed = text.split(":")
        return cls(int(flush), keep, int(seed))


class WriteLog:
    def __init__(self, file):
        self.file = file
        with open(file, "rb") as log:
            self._octets = memoryview(mmap.mmap(log.fileno(), 0, prot=mmap.PROT_READ))
        magic, version, entries, sector_bytes = struct.unpack_from("<QQQI", self._octets)
        if (magic, version, sector_bytes) != (MAGIC, VERSION, SECTOR):
            raise ValueError(f"{file} is no log of writes")
        self.writes, self.flushes = [], []  # writes are (first octet on the medium, octets)
        at = SECTOR
        for _ in range(entries):
            sector, sectors, flags, data = struct.unpack_from("<4Q", self._octets, at)
            if flags & ~FLUSH or data or (not flags and not sectors):
                raise ValueError(f"{file}: the entry at {at} is neither a write nor a flush: {(sector, sectors, flags, data)}")
            at += SECTOR
            if flags:
                self.flushes.append(Flush(len(self.writes), at))
            else:
                self.writes.append((sector * SECTOR, self._octets[at:at + sectors * SECTOR]))
                at += sectors * SECTOR

    def pending(self, flush):
        """What was written between this flush and the next."""
        return self.writes[self.flushes[flush].writes:self.flushes[flush + 1].writes]

    def chosen(self, cut):
        """The writes behind the cut's flush that reach the medium."""
        pending = self.pending(cut.flush)
        chance = random.Random(f"{cut.flush} {cut.seed}")
        share = chance.choice((0.1, 0.5, 0.9))
        match cut.keep:
            case "none":
                return []
            case "all":
                return pending
            case "first":
                return pending[:chance.randint(0, len(pending))]
            case "writes":
                return [write for write in pending if chance.random() < share]
        return [(at + sector, octets[sector:sector + SECTOR]) for at, octets in pending
                for sector in range(0, len(octets), SECTOR) if chance.random() < share]

    def cuts(self, count, seed, regions, begin=0, end=None):
        """At most `count` cuts in their order, between two sizes of the log, where something in the regions was on its way; no
        two leave the same writes on the medium."""
        def concerned(flush):
            return any(at < stop and start < at + len(octets)
                       for at, octets in self.pending(flush) for start, stop in regions)

        places = [flush for flush in range(len(self.flushes) - 1)
                  if begin <= self.flushes[flush].log_bytes and (end is None or self.flushes[flush + 1].log_bytes <= end)
                  and concerned(flush)]
        if not places:
            raise AssertionError("nothing was written there")
        chance = random.Random(seed)
        chance.shuffle(places)
        by_chance, kinds = ("sectors", "first", "writes"), ("sectors", "none", "first", "sectors", "writes", "all")
        made = {}  # a place comes again, by another chance, where there are more cuts than places
        for number in range(TRIES_A_CUT * count):
            some = kinds if number < len(places) else by_chance
            cut = Cut(places[number % len(places)], some[number % len(some)], number)
            made.setdefault(self._written(cut), cut)
            if len(made) == count:
                break
        return sorted(made.values(), key=lambda cut: cut.flush)

    def _written(self, cut):
        """Names the writes that reach the medium: so many from the first on, and these sectors of those behind."""
        chosen = {(at + sector, bytes(octets[sector:sector + SECTOR])) for at, octets in self.chosen(cut)
                  for sector in range(0, len(octets), SECTOR)}
        whole = self.flushes[cut.flush].writes
        for at, octets in self.pending(cut.flush):
            sectors = {(at + sector, bytes(octets[sector:sector + SECTOR])) for sector in range(0, len(octets), SECTOR)}
            if not sectors <= chosen:
                break
            chosen -= sectors
            whole += 1
        return whole, frozenset(chosen)


class Replay:
    """The regions (begin, end) of a medium, as they are after cuts that come in their order."""

    def __init__(self, log, disk, regions):
        self.log, self.regions, self._done = log, regions, 0
        self._bytes = os.path.getsize(disk)
        self._medium = mmap.mmap(-1, self._bytes)
        with open(disk, "rb") as source:
            for begin, end in regions:
                source.seek(begin)
                self._medium[begin:end] = source.read(end - begin)

    def _apply(self, writes):
        for at, octets in writes:
            self._medium[at:at + len(octets)] = octets

    def write(self, cut, file):
        before = self.log.flushes[cut.flush].writes
        if before < self._done:
            raise ValueError("cuts must come in their order")
        self._apply(self.log.writes[self._done:before])
        self._done = before
        chosen = self.log.chosen(cut)
        saved = [(at, self._medium[at:at + len(octets)]) for at, octets in chosen]
        self._apply(chosen)
        self._copy(file)
        # Together the saved pieces are what was there, also where the chosen writes overlap.
        self._apply(reversed(saved))

    def _copy(self, file):
        zeros = bytes(CHUNK)
        with open(file, "wb") as out:
            out.truncate(self._bytes)
            for begin, end in self.regions:
                for at in range(begin, end, CHUNK):
                    piece = self._medium[at:min(at + CHUNK, end)]
                    if piece != zeros:
                        os.pwrite(out.fileno(), piece, at)


def main():
    parser = argparse.ArgumentParser(prog="write_log.py")
    for name in ("log", "disk", "cut", "output"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    whole = [(0, os.path.getsize(arguments.disk))]
    Replay(WriteLog(arguments.log), arguments.disk, whole).write(Cut.parse(arguments.cut), arguments.output)


if __name__ == "__main__":
    main()
