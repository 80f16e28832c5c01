"""What firmware/build makes: the same again from its lock, an SBOM, licences; and a lock whose package is gone."""

import hashlib
import json
import re
import subprocess
import unittest

import box
import image_builder
from image_builder import BUILD, as_root, build_image

IMAGE_XZ_MEGABYTES_MAX = 32
GONE = "tools all hello 1:0.1-1 " + "5" * 64 + " /pool/main/h/hello/hello_0.1-1_all.deb"
BINDING = {"linux-image": "GPL-2.0-only WITH Linux-syscall-note", "e2fsck-static": "GPL-2.0-only AND LGPL-2.1-or-later",
           "systemd-boot-efi": "LGPL-2.1-or-later", "libc6-dev": "LGPL-2.1-or-later", "ca-certificates": "MPL-2.0"}


def made_with(image):
    """{name: SHA-256} of the image and of everything that firmware/build leaves beside it."""
    files = [image, *(image.with_suffix(end) for end in (".lock", ".spdx.json", ".licences.txt")),
             *image.with_suffix(".parts").iterdir()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def plain(name):
    """A package's name without the kernel's version and without the mark of a cross compiler's library."""
    return re.sub(r"^linux-image-.*|-arm64-cross$", lambda found: "linux-image" if found[0].startswith("linux") else "", name)


class AnImage(unittest.TestCase):
    kind = "amd64"

    def test_it_fits_its_budget_when_packed(self):
        packed = subprocess.run(["xz", "-T2", "-6", "--stdout", box.image()], stdout=subprocess.PIPE, check=True).stdout
        box.figure(f"{self.kind} image packed by xz, MB", f"{len(packed) / 1e6:.1f}")
        self.assertLess(len(packed) / 1e6, IMAGE_XZ_MEGABYTES_MAX)


class AnImageMadeAgain(unittest.TestCase):
    group = "alone"

    def test_from_its_lock_with_its_first_programs_compiled_again_it_is_the_same(self):
        """Every step of making the image; of the compiling what takes seconds. The long form compiles everything."""
        image = box.image()
        first = made_with(image)
        compiled = BUILD / "amd64/tools/build/out/firmware"
        programs = [compiled / name for name in ("first-process", "supervisor")]
        self.assertTrue(all(program.exists() for program in programs))
        as_root("find", compiled, "-name", "*.[ao]", "-delete")
        as_root("rm", *programs)
        again, _, seconds = build_image("amd64", "--lock", image.with_suffix(".lock"))
        box.figure("image build, first programs compiled again, s", f"{seconds:.0f}")
        self.assertEqual(again, image)
        self.assertEqual(made_with(again), first)


class AnImageMadeAfresh(unittest.TestCase):
    long = True

    def test_elsewhere_from_its_lock_with_everything_compiled_it_is_the_same(self):
        image = box.image()
        elsewhere = BUILD / "again"
        as_root("rm", "-rf", elsewhere)
        self.addCleanup(as_root, "rm", "-rf", elsewhere)
        again, _, seconds = build_image("amd64", "--lock", image.with_suffix(".lock"), "--directory", elsewhere)
        box.figure("image build, elsewhere and all compiled, s", f"{seconds:.0f}")
        self.assertNotEqual(again, image)
        self.assertEqual(made_with(again), made_with(image))


class ALock(unittest.TestCase):
    def test_a_package_that_is_gone_is_named(self):
        lock = image_builder.keys() / "gone.lock"
        lock.write_text(box.image().with_suffix(".lock").read_text() + GONE + "\n")
        with self.assertRaisesRegex(AssertionError, r"firmware/build: gone from this machine's mirrors: hello 1:0\.1-1 \(all\); "):
            build_image("amd64", "--lock", lock, "--directory", image_builder.keys() / "gone")

    def test_a_line_that_is_none_is_named(self):
        lock = image_builder.keys() / "broken.lock"
        lock.write_text("tools all hello\n")
        with self.assertRaisesRegex(AssertionError, r"broken\.lock:1: not 'role architecture name version sha256 path'"):
            build_image("amd64", "--lock", lock, "--directory", image_builder.keys() / "broken")


class WhatItHolds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.document = json.loads(box.image().with_suffix(".spdx.json").read_text())
        cls.packages = {plain(package["name"]): package for package in cls.document["packages"] if package["name"] != "postern"}
        cls.licences = box.image().with_suffix(".licences.txt").read_text()

    def test_the_sbom_names_version_hash_and_licence_of_each_package(self):
        locked = {words[2]: words for words in map(str.split, box.image().with_suffix(".lock").read_text().splitlines())}
        texts = {each["licenseId"]: each["extractedText"] for each in self.document["hasExtractedLicensingInfos"]}
        for package in self.packages.values():
            words = locked[package["name"]]
            self.assertEqual((package["versionInfo"], package["checksums"][0]["checksumValue"]), (words[3], words[4]))
            self.assertNotEqual(package["licenseConcluded"], "NOASSERTION")
            self.assertIn(texts[package["licenseDeclared"]], self.licences)
        targets = {plain(name) for name, words in locked.items() if words[0] == "target"}
        self.assertLessEqual(targets | {"libc6-dev", "libmbedtls-dev", "libstdc++-14-dev"}, set(self.packages))

    def test_licences_that_bind_are_named_with_what_they_ask_and_their_source(self):
        bound = {name: package["licenseConcluded"] for name, package in self.packages.items() if "comment" in package}
        self.assertEqual(bound, BINDING)
        asked, _, texts = self.licences.partition("-" * 100)
        for package in (self.packages[name] for name in BINDING):
            self.assertIn("Binds who gives the box on.", package["comment"])
            source = package["sourceInfo"].removeprefix("Debian's source: ")
            self.assertIn(f"{package['name']} {package['versionInfo']}, made of Debian's source {source}\n", asked)
        for title in ("GNU GENERAL PUBLIC LICENSE", "GNU LESSER GENERAL PUBLIC LICENSE", "Mozilla Public License Version 2.0"):
            self.assertIn(title, texts)
