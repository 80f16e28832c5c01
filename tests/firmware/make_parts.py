#!/usr/bin/python3
"""Makes the parts of an update out of what firmware/build left: make_parts.py KIND FROM TO SECONDS RELEASE-KEY [KEY CERTIFICATE]

Run as root, because it works in the build's unpacked tools. The update is SECONDS younger than FROM and signed with the owner's
KEY when there is one. KIND is "good"; or "damaged": one bit of the root is another, so that dm-verity refuses it; or "failing":
a program that only ends stands in the relay's place.
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
import secure_boot


def damage(parts):
    content = bytearray((parts / "root.img").read_bytes())
    content[8] ^= 1  # the date that the squashfs was made: nobody but dm-verity cares
    (parts / "root.img").write_bytes(content)


def make(facts, kind, release_key, owner, parts):
    tools = root.Root(REPOSITORY / "build/firmware" / facts["architecture"] / "tools")
    place = tools.path / "build"
    programs = {name: place / f"stripped-{name}" for name in binaries.PROGRAMS}
    if kind == "failing":
        programs["posternd"] = programs["install-update"]  # without a file named it ends with code 1
    image = disk.Disk(tools, facts["architecture"], facts["version"], facts["built"], owner)
    parameters = image.make_root(programs, place / "target", release_key)
    for slot in "ab":
        image.make_kernel_image(slot, place / "kernel", place / "target", parameters)
    for name in ("root.img", "a.efi", "b.efi"):
        shutil.copyfile(place / name, parts / name)


def main():
    kind, source, target, seconds, release_key, *owner = sys.argv[1:]
    facts = json.loads((pathlib.Path(source) / "facts.json").read_text())
    facts["built"] += int(seconds)
    parts = pathlib.Path(target)
    parts.mkdir()
    (parts / "facts.json").write_text(json.dumps(facts))
    make(facts, kind, release_key, secure_boot.Owner(*owner) if owner else None, parts)
    if kind == "damaged":
        damage(parts)


if __name__ == "__main__":
    main()
