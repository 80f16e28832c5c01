"""Power cuts of the whole box, by replaying the log of its writes (write_log.py): no 250 is broken, no state is unbootable.

One box grows its data partition, takes a dropped configuration and then mail, with its upstream away. What a state owes:
every message whose 250 came before the flush after its own was complete, because the flush that made it safe came before the
250. The queue is read as the relay reads it at its start (read_queue.cpp), behind the check that the box makes of the file
system.
"""

import hashlib
import itertools
import os
import pathlib
import random
import smtplib
import subprocess
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "kill"))

import power_cuts
import test_update
import relay as relays
from authority import Authority
from box import BoxTest, figure, HOST_ADDRESS, UPSTREAM_PASSWORD
from ledger import Ledger, SUBJECT
from load import Load
from machine import Disk, free_port, Machine, run, SECONDS_MAX, Stick
from power_cuts import bounds, Bootable, EFI, PowerCuts, take_out
from upstream import Upstream
from write_log import Cut

BOOTED_STATES = 5
MESSAGE_SECONDS_MAX = 5  # on average; an idle machine takes 0.2
RETRY = b'[queue]\nretry_delay_min = "5s"\nretry_delay_max = "10s"\n'  # many attempts are recorded while the upstream is away
FORGOTTEN_FLUSHES = 40  # by a medium that lies
FORGETFUL_STATES = 6
TABLE_BYTES, TORN_STATES = 34 * 512, 4  # the partition table in front
TORN = "checksum does not match superblock"
SPOOLED = (b"x" * 70 + b"\r\n") * 4500  # more than the database's rows take


class BoxLedger(Ledger):
    """Remembers beside each answer how long the log of writes was when it came."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def answered(self, number, taken):
        self.sent[number].log_bytes = os.path.getsize(self.log)
        super().answered(number, taken)

    def owed(self, log_bytes):
        """In a state of which the next flush ends there."""
        return {number for number, sent in self.sent.items() if sent.answer == "taken" and sent.log_bytes < log_bytes}

    def judge(self, messages, owed):
        """What is wrong with these messages, where those are owed."""
        numbers, wrong = [], []
        for content in messages:
            number = number_in(content)
            sent = self.sent.get(number)
            if sent is None or sent.answer == "refused":
                wrong.append(f"message {number} is there, and was refused or never sent")
            elif hashlib.sha256(content[-sent.bytes:]).digest() != sent.digest:
                wrong.append(f"message {number} is altered")
            numbers.append(number)
        if len(set(numbers)) != len(numbers):
            wrong.append("a message is there twice")
        if lost := owed - set(numbers):
            wrong.append(f"answered 250 and lost: {sorted(lost)}")
        return wrong


def mend_superblock_checksum(data):
    with open(data, "r+b") as file:
        file.seek(1024)
        superblock, total = file.read(1020), 0xFFFFFFFF
        for octet in superblock:  # CRC-32C
            total ^= octet
            for _ in range(8):
                total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
        file.write(total.to_bytes(4, "little"))


def number_in(content):
    found = SUBJECT.search(content[:8192])
    return int(found[1]) if found else 0


def messages_in(octets):
    """Of read_queue's output."""
    at = 0
    while at < len(octets):
        begin = octets.index(b"\n", at) + 1
        at = begin + int(octets[at:begin].split()[1])
        yield octets[begin:at]


class LoggedBox(BoxTest):
    megabytes = 384  # so that the data partition grows, and mail has room
    messages = 60  # taken before the box is left alone
    restarts = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority, cls.upstream_port = Authority(cls.scratch / "ca"), free_port()
        cls.files = cls.configuration_files(types.SimpleNamespace(port=cls.upstream_port))
        cls.files["postern.toml"] += RETRY
        cls.disk = cls.new_disk(cls.megabytes)
        cls.disk.drop(cls.files)
        cls.cuts = PowerCuts(cls.disk, cls.scratch)
        cls.machine = cls.start_machine(cls.disk, restarts=cls.restarts, write_log=cls.cuts.log_file)
        cls.machine.wait_for("ready to accept mail")
        cls.ready = cls.cuts.log_bytes()
        cls.ledger = BoxLedger(cls.cuts.log_file)
        cls.put_under_load()
        cls.cuts.finish(cls.machine)
        cls.data = bounds(cls.disk, "postern-data")

    @classmethod
    def connect(cls, implicit=False):
        """For Load: a device that stands in TLS and is logged in."""
        context = cls.trusting(cls.authority.ca_file)
        if implicit:
            device = smtplib.SMTP_SSL("localhost", cls.machine.ports[465], context=context, timeout=SECONDS_MAX)
        else:
            device = smtplib.SMTP("localhost", cls.machine.ports[587], timeout=SECONDS_MAX)
            device.starttls(context=context)
        device.login(relays.USER, relays.PASSWORD)
        return device

    @classmethod
    def put_under_load(cls):
        chance, deadline = random.Random(power_cuts.SEED), time.monotonic() + cls.messages * MESSAGE_SECONDS_MAX
        with Load(cls, cls.ledger, power_cuts.SEED) as load:
            while cls.ledger.count("taken") < cls.messages and time.monotonic() < deadline:
                cls.send_what_is_refused(chance)
        counts = {answer: cls.ledger.count(answer) for answer in ("taken", "refused", "unknown")}
        if load.unexpected or counts["taken"] < cls.messages or counts["refused"] < 3 or counts["unknown"]:
            raise AssertionError(f"{counts}, {load.unexpected}\n"
                                 f"{cls.machine.console()[-3000:]}")

    @classmethod
    def send_what_is_refused(cls, chance):
        """A large message whose last line ends with a bare LF (RFC 5321 section 2.3.8): most of it is in the spool by then."""
        number, content = cls.ledger.new_message(chance)
        with cls.connect() as device:
            try:
                device.sendmail(relays.SENDER, ["anna@far.example"], content + SPOOLED + b"a bare\nnewline\r\n")
            except (smtplib.SMTPDataError, smtplib.SMTPServerDisconnected):
                cls.ledger.answered(number, False)
            else:
                raise AssertionError("a bare newline was taken")

    def open_data(self, disk, place):
        """As the box does at its start (firmware/init/storage.cpp); then a whole check finds nothing that needs a person."""
        data = take_out(disk, self.data, place / "data.img")

        def check(*how):
            return subprocess.run(["/sbin/e2fsck", *how, data], capture_output=True, text=True, check=False)

        first = check("-p")
        if TORN not in first.stdout + first.stderr:
            self.assertLess(first.returncode, 4, first.stdout + first.stderr)
        else:
            check("-y", "-b", "32768", "-B", "4096")
            again = check("-fp")
            if TORN in again.stdout + again.stderr:
                mend_superblock_checksum(data)
                check("-y")
        checked = check("-fp")
        self.assertLess(checked.returncode, 4, checked.stdout + checked.stderr)
        return data

    def messages_of(self, disk, place):
        run("/sbin/debugfs", "-R", f"rdump /queue {place}", self.open_data(disk, place))
        for path in (place / "queue", *(place / "queue").rglob("*")):
            os.chown(path, os.geteuid(), os.getegid())
        done = subprocess.run([os.environ["POSTERN_READ_QUEUE"], place / "queue"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return messages_in(done.stdout)

    def owed_behind(self, flush):
        """After a cut at this flush."""
        return self.ledger.owed(self.cuts.log.flushes[min(flush + 1, len(self.cuts.log.flushes) - 1)].log_bytes)

    def check_mail(self, cut, disk, place):
        self.assertFalse(self.ledger.judge(self.messages_of(disk, place), self.owed_behind(cut.flush)))


class PowerCutsWhileMailIsAccepted(LoggedBox):
    mail_states, start_states = 120, 30

    def test_every_250_is_found_again_and_nothing_that_was_refused(self):
        begun = time.monotonic()
        cuts = self.cuts.log.cuts(self.mail_states, power_cuts.SEED, [self.data], begin=self.ready)
        self.assertGreaterEqual(len(cuts), power_cuts.STATES_MIN)
        self.cuts.examine(cuts, [self.data], self.check_mail)
        figure("seed of the power cuts", power_cuts.SEED)
        figure("power cuts while mail is accepted, states", len(cuts))
        figure("of them owe a message", sum(bool(self.owed_behind(cut.flush)) for cut in cuts))
        figure("messages answered 250 in them", self.ledger.count("taken"))
        figure("these states checked in, s", f"{time.monotonic() - begun:.0f}")

    def test_a_medium_that_forgets_what_it_flushed_is_seen(self):
        """That this check can fail: states that are said to be so many flushes younger than they are."""
        cuts, seen = self.cuts.log.cuts(self.mail_states, power_cuts.SEED, [self.data], begin=self.ready), []
        cuts = [cut for cut in cuts if self.owed_behind(cut.flush + FORGOTTEN_FLUSHES) - self.owed_behind(cut.flush)]

        def check(cut, disk, place):
            wrong = self.ledger.judge(self.messages_of(disk, place), self.owed_behind(cut.flush + FORGOTTEN_FLUSHES))
            seen.extend(each for each in wrong if "answered 250 and lost" in each)

        self.cuts.examine(cuts[:FORGETFUL_STATES], [self.data], check)
        self.assertTrue(seen)

    def check_start(self, cut, disk, place):
        """Bootable, with a partition table that can be read, and the configuration is in force or still where it was dropped."""
        self.bootable.check(cut, disk, place)
        self.check_partition_table(disk)
        kept = self.configuration_in(disk, place)
        if any(kept.get(name) != content for name, content in self.files.items()):
            for name, content in self.files.items():
                self.assertEqual(disk.efi_file(name), content, f"{name} is neither in force nor where it was dropped")

    def configuration_in(self, disk, place):
        """{path: octets} of what is in force."""
        run("/sbin/debugfs", "-R", f"rdump /config {place}", self.open_data(disk, place))
        config = place / "config"
        return {str(path.relative_to(config)): path.read_bytes() for path in config.rglob("*") if path.is_file()}

    def check_partition_table(self, disk):
        """In front or at the end; Linux looks at the end only with `gpt` on its command line (block/partitions/efi.c)."""
        shown = subprocess.run(["/sbin/sfdisk", "--json", disk.file], capture_output=True, text=True, check=True)
        self.assertEqual(set(disk.partitions()), {"postern-efi", "postern-root-a", "postern-root-b", "postern-data"})
        if "primary GPT table is corrupt" in shown.stderr:
            kernel = disk.efi_file(f"EFI/Linux/{disk.efi_names('EFI/Linux')[0]}")
            self.assertTrue(b" gpt " in kernel, "the kernel sees no partition, the table in front is torn")
            self.torn_tables += 1

    def cuts_that_tear_the_table(self):
        """Of its header and its entries, a sector each, one reaches the medium."""
        log = self.cuts.log
        [written] = log.cuts(1, power_cuts.SEED, [(0, TABLE_BYTES)], end=self.ready)
        some = (Cut(written.flush, "sectors", number) for number in itertools.count())
        torn = (cut for cut in some if len({512, 1024} & {at for at, _ in log.chosen(cut)}) == 1)
        return list(itertools.islice(torn, TORN_STATES))

    def test_the_first_start_leaves_a_bootable_box_and_loses_no_configuration(self):
        before, self.torn_tables = Disk(None, self.cuts.before), 0
        self.bootable = Bootable(before, {"a": Bootable.image_in(before, "a")})
        regions = [*self.bootable.regions, (self.data[0], os.path.getsize(self.disk.file))]
        cuts = self.cuts.log.cuts(self.start_states, power_cuts.SEED, regions, end=self.ready) + self.cuts_that_tear_the_table()
        self.cuts.examine(sorted(cuts, key=lambda cut: cut.flush), regions, self.check_start)
        self.assertGreaterEqual(self.torn_tables, TORN_STATES)
        self.assertGreaterEqual(len(cuts), self.start_states)
        figure("power cuts at a first start, states", len(cuts))


class PowerCutsWhileMailIsAcceptedAndAnUpdateIsWritten(LoggedBox):
    long = True
    restarts = True
    megabytes = 512
    states = 150

    @classmethod
    def put_under_load(cls):
        """From before the update is plugged in until the relay of the other slot takes mail too."""
        cls.machine.wait_for("slot a passed its trial")
        stick = Stick(cls.scratch / "stick.img")
        stick.drop({test_update.BUNDLE: test_update.bundle("good")})
        with Load(cls, cls.ledger, power_cuts.SEED, clients=1):
            Machine.wait_until(lambda: cls.ledger.count("taken"), "mail is taken")
            cls.ready = cls.cuts.log_bytes()
            cls.machine.plug(stick)
            cls.machine.wait_for("is installed in slot b", 2 * SECONDS_MAX)
            cls.installed = cls.cuts.log_bytes()
            cls.before = cls.ledger.count("taken")
            cls.machine.wait_for("slot b is on trial")
            Machine.wait_until(lambda: cls.ledger.count("taken") > cls.before, "mail is taken by the other slot")

    def test_every_250_is_found_again_and_every_state_is_bootable(self):
        before = Disk(None, self.cuts.before)
        images = {"a": Bootable.image_in(before, "a"), "b": test_update.image_in_bundle(test_update.bundle("good"))}
        bootable = Bootable(before, images)

        def check(cut, disk, place):
            bootable.check(cut, disk, place)
            self.check_mail(cut, disk, place)

        regions = [*bootable.regions, self.data]
        cuts = self.cuts.log.cuts(self.states, power_cuts.SEED, [EFI, bootable.roots["b"], self.data], begin=self.ready)
        self.assertGreaterEqual(len(cuts), power_cuts.STATES_MIN)
        self.cuts.examine(cuts, regions, check)
        figure("power cuts while mail is accepted and an update written", len(cuts))
        figure("of them owe a message", sum(bool(self.owed_behind(cut.flush)) for cut in cuts))
        figure("messages answered 250 while it was written", self.before)


class PowerCutsUnderLongLoad(PowerCutsWhileMailIsAccepted):
    long = True
    messages, mail_states, start_states, megabytes = 200, 500, 100, 512

    def test_boxes_that_lost_their_power_start_and_deliver_everything(self):
        """The image itself on some of these media; now the upstream is there."""
        certificate, key = self.authority.issue("upstream", [HOST_ADDRESS])
        whole = [(0, os.path.getsize(self.disk.file))]

        def check(cut, disk, place):
            owed = self.owed_behind(cut.flush)
            with Upstream(place / "upstream", certificate, key, port=self.upstream_port, password=UPSTREAM_PASSWORD) as upstream:
                with Machine(disk, restarts=True) as machine:
                    machine.wait_for("ready to accept mail")
                    Machine.wait_until(lambda: owed <= {number_in(each.content) for each in upstream.accepted()}, "what is owed is delivered")
            self.assertFalse(self.ledger.judge([each.content for each in upstream.accepted()], owed))

        cuts = self.cuts.log.cuts(BOOTED_STATES, power_cuts.SEED, whole, begin=self.ready)
        self.cuts.examine(cuts, whole, check, workers=1)  # they share the upstream's port
        figure("of them started in the emulator, all delivered", len(cuts))

    def test_of_an_old_and_a_new_configuration_one_is_in_force(self):
        new = self.files | {"postern.toml": self.files["postern.toml"] + b"# changed\n"}
        self.disk.drop({"postern.toml": new["postern.toml"]})
        cuts = PowerCuts(self.disk, self.scratch)
        machine = self.start_machine(self.disk, write_log=cuts.log_file)
        machine.wait_for("ready to accept mail")
        cuts.finish(machine)

        def check(_, disk, place):
            kept = self.configuration_in(disk, place)
            if any(kept.get(name) != content for name, content in new.items()):
                for name, content in self.files.items():
                    self.assertEqual(kept.get(name), content, name)
                self.assertEqual(disk.efi_file("postern.toml"), new["postern.toml"])

        regions = [(0, EFI[1]), self.data]
        cuts.examine(cuts.log.cuts(self.start_states, power_cuts.SEED, regions), regions, check)
