"""The kernel's initial memory: the first process and the modules that the recipe names with what they depend on.

Promise: a name of the recipe that the kernel neither has as a module nor built in is an error, not a silent gap.
"""

import pathlib
import shutil

from packages import PackageError

# Loaded before any device is looked at: what no device asks for, and what a USB stick needs that is plugged in later, when no
# module can be loaded any more.
REQUIRED = ("crc32c_generic", "dm-verity", "squashfs", "ext4", "vfat", "nls_ascii", "nls_cp437", "nls_utf8", "sd_mod",
            "usb-storage", "uas")
# A Raspberry Pi 3 has its network behind USB, where it is found later than the root, when no module can be loaded any more: the
# two adapters that are soldered to it, and the kind that the emulator has.
REQUIRED_MORE = {"amd64": (), "arm64": ("smsc95xx", "lan78xx", "cdc_ether")}


def module_name(file):
    return pathlib.PurePosixPath(file).name.split(".")[0].replace("-", "_")


def choose(directory, recipe, architecture):
    """{module file: files it needs} for the recipe; `directory` is the kernel's own modules' directory after depmod."""
    needs = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[file] = others.split()
    builtin = [line.split(".ko")[0] for line in (directory / "modules.builtin").read_text().split()]
    chosen = set()
    never = tuple(f"kernel/{name}." for name in recipe["never"])
    for name in recipe["every"] + recipe.get(architecture, []):
        found = [file for file in needs if file.startswith((f"kernel/{name}.", f"kernel/{name}/")) and not file.startswith(never)]
        if not found and not any(module == f"kernel/{name}" or module.startswith(f"kernel/{name}/") for module in builtin):
            raise PackageError(f"recipe.toml names the module {name}, which this kernel does not have")
        for file in found:
            chosen.update([file, *needs[file]])
    return {file: needs[file] for file in sorted(chosen)}


def make_initial_memory(root, kernel, first_process, recipe, architecture):
    """Writes /build/initrd.xz inside `root` from the unpacked kernel package `kernel` (a directory inside it)."""
    [directory] = (kernel / "usr/lib/modules").iterdir()
    inside = "/" + str(kernel.relative_to(root.path))
    root.run("depmod", "-b", inside + "/usr", directory.name)
    chosen = choose(directory, recipe, architecture)
    tree = root.path / "build/initrd"
    shutil.rmtree(tree, ignore_errors=True)
    modules = tree / "lib/modules"
    for file in chosen:
        (modules / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(directory / file, modules / file)
    (modules / "modules.dep").write_text("".join(f"{file}: {' '.join(needs)}\n" for file, needs in chosen.items()))
    names = {module_name(file) for file in chosen}
    aliases = [line for line in (directory / "modules.alias").read_text().splitlines() if line.rsplit(" ", 1)[-1] in names]
    (modules / "modules.alias").write_text("\n".join(sorted(aliases)) + "\n")
    (modules / "required").write_text("\n".join(REQUIRED + REQUIRED_MORE[architecture]) + "\n")
    shutil.copyfile(first_process, tree / "init")
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.name == "init" else 0o644)
    root.run("sh", "-c", "cd /build/initrd && find . -exec touch -h -d @0 {} + && find . | LC_ALL=C sort | "
             "cpio --quiet --create --format=newc --reproducible --owner=0:0 >../initrd.cpio && xz -T1 --check=crc32 -9 -c ../initrd.cpio >../initrd.xz")
