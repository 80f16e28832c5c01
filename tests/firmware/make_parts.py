#!/usr/bin/python3
"""Makes the parts of an update out of what firmware/build left: make_parts.py KIND FROM TO SECONDS RELEASE-KEY [KEY CERTIFICATE]

Run as root, because it works in the build's unpacked tools. The update is SECONDS younger than FROM and signed with the owner's
KEY when there is one. The kinds:
  good
  damaged  one bit of the root is another, so that dm-verity refuses it
  failing  a program that only ends stands in the relay's place
  silent   one that says it is ready and alive, and never listens
  mute     one that never says that it is ready
  stuck    one that says it is ready and alive once, and never again
  odd-tls  the relay with another label in its TLS 1.3 key schedule: it understands itself, and nobody else
  hanging  a program that hangs stands in the supervisor's place
  telling  one that tells what it may do on the box, and then does as "silent" (telling.cpp)
"""

import json
import os
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


def stand_in(tools, *flags):
    for file in ("stand_in.cpp", "telling.cpp", "telling.hpp"):
        shutil.copyfile(pathlib.Path(__file__).with_name(file), tools.path / "build" / file)
    sources = ["/build/stand_in.cpp", *(["/build/telling.cpp"] if "-DTELLS" in flags else [])]
    name = "stand-in" + "".join(flags)
    tools.run("g++", "-std=c++23", "-O1", "-static", "-s", *flags, "-o", f"/build/{name}", *sources)
    return tools.path / "build" / name


def with_odd_label(tools, relay):
    """RFC 8446 section 7.1: both ends derive the traffic keys under this label."""
    content = relay.read_bytes()
    if content.count(b"s hs traffic") != 1:
        raise ValueError("the relay holds the label of TLS 1.3 another number of times than once")
    odd = tools.path / "build/odd-relay"
    odd.write_bytes(content.replace(b"s hs traffic", b"S hs traffic"))
    return odd


def make(facts, kind, release_key, owner, parts):
    tools = root.Root(REPOSITORY / "build/firmware" / facts["architecture"] / "tools")
    place = tools.path / "build"
    programs = {name: place / f"stripped-{name}" for name in binaries.PROGRAMS}
    if kind == "failing":
        programs["posternd"] = stand_in(tools, "-DENDS")
    elif kind == "silent":
        programs["posternd"] = stand_in(tools, "-DFEEDS")
    elif kind == "telling":
        programs["posternd"] = stand_in(tools, "-DTELLS", "-DFEEDS")
    elif kind == "mute":
        programs["posternd"] = stand_in(tools, "-DMUTE")
    elif kind == "stuck":
        programs["posternd"] = stand_in(tools)
    elif kind == "odd-tls":
        programs["posternd"] = with_odd_label(tools, programs["posternd"])
    elif kind == "hanging":
        programs["supervisor"] = stand_in(tools)
    image = disk.Disk(tools, facts["architecture"], facts["version"], facts["built"], owner)
    parameters = image.make_root(programs, place / "target", release_key)
    for slot in "ab":
        image.make_kernel_image(slot, place / "kernel", place / "target", parameters)
    for name in ("root.img", "a.efi", "b.efi"):
        shutil.copyfile(place / name, parts / name)


def main():
    kind, source, target, seconds, release_key, *owner = sys.argv[1:]
    os.umask(0o022)  # as firmware/build
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
