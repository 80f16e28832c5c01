"""The image itself: checked root, kernel image of a slot, EFI partition, data partition, partition table.

Promise: every identifier and date comes from the version and the commit, so that two builds are bit-identical.
"""

import hashlib
import re
import shutil
import uuid

import secure_boot

MEGABYTE = 1 << 20
BLOCK = 4096
# The EFI partition has room for what runs, what is being installed and a dropped update, which holds a root and two kernel
# images (firmware/update/bundle.hpp says how large each may be; arm64's kernel is not compressed: 41 MB).
EFI_MEGABYTES, SLOT_MEGABYTES, DATA_MEGABYTES = 208, 16, 64
TYPES = {"efi": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"}
BOOT = {"amd64": ("x64", "BOOTX64.EFI"), "arm64": ("aa64", "BOOTAA64.EFI")}
OPTIONS = {"amd64": "console=ttyS0,115200",
           # Debian's kernel for arm64 puts 64 MB aside for drivers of cameras and screens; on a small box that is all there is.
           # ttyS1: the serial pins of a Raspberry Pi 3, which gives its ttyAMA0 to Bluetooth.
           "arm64": "console=ttyS1,115200 console=ttyAMA0,115200 cma=8M"}
RELAY_USER = 990  # firmware/init/storage.hpp
# How a Raspberry Pi 3 comes to its UEFI: what its own boot ROM's files read, which are proprietary and not here. U-Boot hands
# the device tree on to the kernel.
BOARD_TREE = "bcm2837-rpi-3-b.dtb"
BOARD_CONFIGURATION = f"arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\ndevice_tree={BOARD_TREE}\n"


def identifier(*words):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "postern " + " ".join(words)))


class Disk:
    def __init__(self, root, architecture, version, source_date, owner=None):
        self.root, self.architecture, self.version, self.date, self.owner = root, architecture, version, source_date, owner
        self.place = root.path / "build"
        self.environment = {"SOURCE_DATE_EPOCH": str(source_date), "E2FSPROGS_FAKE_TIME": str(source_date),
                            "MTOOLS_SKIP_CHECK": "1"}

    def run(self, *command):
        return self.root.run(*command, environment=self.environment)

    def sign(self, name):
        if self.owner:
            secure_boot.sign(self.place / name, self.owner, self.date)

    def make_root(self, programs, target, release_key):
        """squashfs with its hash tree behind it; returns the kernel's parameters for it."""
        tree = self.place / "rootfs"
        shutil.rmtree(tree, ignore_errors=True)
        for name in ("dev", "proc", "sys", "run", "tmp", "data", "sbin", "usr/sbin", "usr/bin", "etc/ssl/certs"):
            (tree / name).mkdir(parents=True)
        for source, name in ((programs["supervisor"], "sbin/supervisor"), (programs["posternd"], "usr/sbin/posternd"),
                             (programs["postern"], "usr/bin/postern"),
                             (target / "usr/sbin/e2fsck.static", "sbin/e2fsck")):
            shutil.copyfile(source, tree / name)
            (tree / name).chmod(0o755)
        roots = sorted((target / "usr/share/ca-certificates/mozilla").glob("*.crt"))
        (tree / "etc/ssl/certs/ca-certificates.crt").write_bytes(b"".join(file.read_bytes() for file in roots))
        (tree / "etc/passwd").write_text(f"root:x:0:0::/:/none\nrelay:x:{RELAY_USER}:{RELAY_USER}::/:/none\n")
        (tree / "etc/group").write_text(f"root:x:0:\nrelay:x:{RELAY_USER}:\n")
        if release_key:
            shutil.copyfile(release_key, tree / "etc/postern-release.pub")
        (tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        (tree / "etc/resolv.conf").symlink_to("/run/resolv.conf")
        (self.place / "root.img").unlink(missing_ok=True)
        self.run("mksquashfs", "/build/rootfs", "/build/root.img", "-all-root", "-no-xattrs", "-processors", "1", "-comp", "xz",
                 "-b", "256K", "-quiet", "-no-progress")
        size = (self.place / "root.img").stat().st_size
        blocks = -(-size // BLOCK)
        with open(self.place / "root.img", "r+b") as file:
            file.truncate(blocks * BLOCK)
        salt = hashlib.sha256(f"{self.version} {self.date}".encode()).hexdigest()
        output = self.run("veritysetup", "format", "--no-superblock", "--hash=sha256", f"--data-blocks={blocks}",
                          f"--hash-offset={blocks * BLOCK}", f"--salt={salt}", f"--uuid={identifier('verity', salt)}",
                          "/build/root.img", "/build/root.img")
        root_hash = re.search(r"Root hash:\s*([0-9a-f]{64})", output)[1]
        if (self.place / "root.img").stat().st_size > SLOT_MEGABYTES * MEGABYTE:
            raise ValueError(f"the root does not fit into its slot of {SLOT_MEGABYTES} MB")
        return (f"postern.root_hash={root_hash} postern.root_salt={salt} postern.root_blocks={blocks} "
                f"postern.root_tree={blocks}")

    def make_kernel_image(self, slot, kernel, target, parameters):
        efi = BOOT[self.architecture][0]
        [image] = (kernel / "boot").glob("vmlinuz-*")
        shutil.copyfile(image, self.place / "vmlinuz")
        shutil.copyfile(target / f"usr/lib/systemd/boot/efi/linux{efi}.efi.stub", self.place / "stub")
        # gpt: a power cut while the data partition grows may tear the front table; its copy is read only when asked for.
        line = (f"console=tty0 {OPTIONS[self.architecture]} panic=10 gpt lockdown=integrity module.sig_enforce=1 "
                f"postern.slot={slot} postern.built={self.date} {parameters}")
        (self.place / "os-release").write_text(f"ID=postern\nNAME=Postern\nPRETTY_NAME=Postern {self.version} ({slot})\n"
                                               f"VERSION_ID={self.version}\n"
                                               # systemd-boot starts the latest one that has tries left.
                                               f"IMAGE_VERSION={self.date}\n")
        self.run("ukify", "build", "--linux=/build/vmlinuz", "--initrd=/build/initrd.xz", f"--cmdline={line}",
                 "--os-release=@/build/os-release", f"--efi-arch={efi}", "--stub=/build/stub", f"--output=/build/{slot}.efi")
        self.sign(f"{slot}.efi")

    def make_board_files(self, system, target):
        """Their names, for the top of the EFI partition."""
        if self.architecture != "arm64":
            return []
        [tree] = (system / "usr/lib").glob(f"linux-image-*/broadcom/{BOARD_TREE}")
        shutil.copyfile(tree, self.place / BOARD_TREE)
        shutil.copyfile(target / "usr/lib/u-boot/rpi_3/u-boot.bin", self.place / "u-boot.bin")
        (self.place / "config.txt").write_text(BOARD_CONFIGURATION)
        return ["config.txt", "u-boot.bin", BOARD_TREE]

    def make_efi_partition(self, system, target):
        efi, name = BOOT[self.architecture]
        shutil.copyfile(target / f"usr/lib/systemd/boot/efi/systemd-boot{efi}.efi", self.place / "boot.efi")
        self.sign("boot.efi")
        (self.place / "loader.conf").write_text("timeout 0\neditor no\n")
        (self.place / "efi.img").unlink(missing_ok=True)
        files = [("boot.efi", f"EFI/BOOT/{name}"), ("a.efi", "EFI/Linux/postern-a+3.efi"), ("loader.conf", "loader/loader.conf"),
                 *((board, board) for board in self.make_board_files(system, target))]
        self.run("touch", "-d", f"@{self.date}", *(f"/build/{source}" for source, _ in files))
        self.run("mkfs.vfat", "--invariant", "-F", "32", "-n", "POSTERN", "-C", "/build/efi.img", str(EFI_MEGABYTES * 1024))
        self.run("mmd", "-i", "/build/efi.img", "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader")
        for source, place in files:
            self.run("mcopy", "-m", "-i", "/build/efi.img", f"/build/{source}", f"::{place}")

    def make_data_partition(self):
        (self.place / "data.img").unlink(missing_ok=True)
        words = identifier("data", str(self.date))
        self.run("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-L", "postern-data", "-U", words, "-E", f"hash_seed={words},root_owner=0:0,"
                 "lazy_itable_init=0,lazy_journal_init=0", "-m", "1", "/build/data.img", f"{DATA_MEGABYTES}M")

    def make(self):
        """/build/disk.img of the parts."""
        parts = [("postern-efi", "efi", EFI_MEGABYTES, "efi.img"), ("postern-root-a", "linux", SLOT_MEGABYTES, "root.img"),
                 ("postern-root-b", "linux", SLOT_MEGABYTES, None), ("postern-data", "linux", DATA_MEGABYTES, "data.img")]
        script = [f"label: gpt\nlabel-id: {identifier('disk', str(self.date))}\nfirst-lba: 34"]
        disk, at = self.place / "disk.img", 1
        disk.unlink(missing_ok=True)
        with open(disk, "wb") as out:
            out.truncate((sum(part[2] for part in parts) + 2) * MEGABYTE)
            for name, kind, megabytes, file in parts:
                script.append(f"start={at * 2048}, size={megabytes * 2048}, type={TYPES[kind]}, name={name}, "
                              f"uuid={identifier(name, str(self.date))}")
                if file:
                    out.seek(at * MEGABYTE)
                    out.write((self.place / file).read_bytes())
                at += megabytes
        (self.place / "table").write_text("\n".join(script) + "\n")
        self.run("sh", "-c", "sfdisk --quiet --no-reread --no-tell-kernel /build/disk.img </build/table")
        return disk
