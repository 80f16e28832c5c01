"""Runs firmware/build and firmware/bundle with the keys of this run of firmware/test, which made them in $POSTERN_KEYS.

The owner's key of Secure Boot is the one that Debian's ovmf package enrols for tests. Every image trusts the release key;
those of amd64 are signed with the owner's key too: a machine without Secure Boot takes no notice.
"""

import os
import pathlib
import subprocess
import sys
import time

from machine import run

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
FIRMWARE = REPOSITORY / "firmware"
BUILD = REPOSITORY / "build" / "firmware"
BUILD_SECONDS_MAX = 3600
SNAKEOIL = pathlib.Path("/usr/share/ovmf/PkKek-1-snakeoil")
DAY = 24 * 3600


def keys():
    return pathlib.Path(os.environ["POSTERN_KEYS"])


def make_keys(place):
    os.environ["POSTERN_KEYS"] = str(place)
    run("minisign", "-G", "-W", "-p", place / "release.pub", "-s", place / "release.key")
    run("openssl", "pkey", "-in", f"{SNAKEOIL}.key", "-passin", "pass:snakeoil", "-out", place / "owner.key")


def owner_options():
    return ["--secure-boot-key", keys() / "owner.key", "--secure-boot-certificate", f"{SNAKEOIL}.pem"]


def as_root(*command, **settings):
    return build(*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command, **settings)


def build(*command, **settings):
    done = subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=BUILD_SECONDS_MAX, check=False, **settings)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def build_image(architecture, *options, **settings):
    """(the image's file, {part: megabytes}, the seconds it took)"""
    begun = time.monotonic()
    owner = owner_options() if architecture == "amd64" else []
    *lines, file = as_root(FIRMWARE / "build", "--arch", architecture, "--release-key", keys() / "release.pub", *owner,
                           *options, **settings).strip().splitlines()
    sizes = {words[0]: float(words[1]) for words in map(str.split, lines)}
    return pathlib.Path(file), sizes, time.monotonic() - begun


def build_read_queue():
    """What looks into the queue of a box (read_queue.cpp)."""
    release = REPOSITORY / "build/release"
    build("cmake", "-S", REPOSITORY, "--preset", "release", "-DPOSTERN_PROOFS=ON")
    build("cmake", "--build", release, "--target", "read_queue")
    return release / "tests/firmware/read_queue"


def architecture_of(image):
    return image.stem.rpartition("-")[2]


def make_parts(kind, image):
    """What the image was made of, a day younger: "good", or one that fails; see make_parts.py."""
    architecture = architecture_of(image)
    place = keys() / architecture
    place.mkdir(exist_ok=True)
    parts = place / f"{kind}.parts"
    owner = [keys() / "owner.key", f"{SNAKEOIL}.pem"] if architecture == "amd64" else []
    as_root(sys.executable, pathlib.Path(__file__).with_name("make_parts.py"), kind, image.with_suffix(".parts"), parts, DAY,
            keys() / "release.pub", *owner)
    return parts


def make_bundle(kind, image):
    """An update of these parts."""
    parts = make_parts(kind, image)
    bundle = parts.with_suffix(".bundle")
    run(FIRMWARE / "bundle", "--secret-key", keys() / "release.key", "--parts", parts, "--output", bundle)
    return bundle
