#!/usr/bin/python3
"""Makes the parts of an update that fails, out of what firmware/build left: make_parts.py damaged|failing FROM TO

Run as root, because it works in the build's unpacked tools. "damaged": one bit of the root is another, so that dm-verity
refuses it. "failing": a program that only ends stands in the relay's place. TO's kernel images carry FROM's date.
"""

import json
import pathlib
import shutil
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "firmware/image"))
sys.dont_write_bytecode = True

import binaries
import disk
import root


def damage(parts):
    content = bytearray((parts / "root.img").read_bytes())
    content[8] ^= 1  # the date that the squashfs was made: nobody but dm-verity cares
    (parts / "root.img").write_bytes(content)


def put_failing_relay(parts):
    facts = json.loads((parts / "facts.json").read_text())
    tools = root.Root(REPOSITORY / "build/firmware" / facts["architecture"] / "tools")
    place = tools.path / "build"
    programs = {name: place / f"stripped-{name}" for name in binaries.PROGRAMS}
    programs["posternd"] = programs["install-update"]  # without a file named it ends with code 1
    image = disk.Disk(tools, facts["architecture"], facts["version"], facts["built"])
    parameters = image.make_root(programs, place / "target", None)
    for slot in "ab":
        image.make_kernel_image(slot, place / "kernel", place / "target", parameters)
    for name in ("root.img", "a.efi", "b.efi"):
        shutil.copyfile(place / name, parts / name)


def main():
    kind, source, target = sys.argv[1:]
    parts = pathlib.Path(target)
    shutil.copytree(source, parts)
    {"damaged": damage, "failing": put_failing_relay}[kind](parts)


if __name__ == "__main__":
    main()
