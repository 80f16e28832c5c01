"""What firmware/build makes: the same again from its lock, an SBOM, licences; and a lock whose package is gone."""

import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

import box
import image_builder
from image_builder import BUILD, FIRMWARE, as_root, build_image

sys.path.insert(0, str(FIRMWARE / "image"))

import packages
import sbom

IMAGE_XZ_MEGABYTES_MAX = 32
GONE = "tools all hello 1:0.1-1 " + "5" * 64 + " pool/main/h/hello/hello_0.1-1_all.deb"
BINDING = {"linux-image": "GPL-2.0-only WITH Linux-syscall-note", "e2fsck-static": "GPL-2.0-only AND LGPL-2.1-or-later",
           "systemd-boot-efi": "LGPL-2.1-or-later", "libc6-dev": "LGPL-2.1-or-later", "ca-certificates": "MPL-2.0"}


# Of the SPDX list of licences and exceptions.
SPDX_IDS = {"Apache-2.0", "BSD-3-Clause", "GCC-exception-3.1", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-or-later", "ISC",
            "LGPL-2.1-or-later", "Linux-syscall-note", "MIT", "MPL-2.0", "Zlib", "blessing"}


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
        # Whose root's files nobody else may read by the builder's habit: the image has modes of its own.
        again, _, seconds = build_image("amd64", "--lock", image.with_suffix(".lock"), umask=0o077)
        box.figure("image build, first programs compiled again, s", f"{seconds:.0f}")
        self.assertEqual(again, image)
        self.assertEqual(made_with(again), first)


class AnImageMadeAfresh(unittest.TestCase):
    long = True
    kind = "amd64"

    def test_elsewhere_from_its_lock_with_everything_compiled_it_is_the_same(self):
        image = box.image()
        elsewhere = BUILD / f"again-{self.kind}"
        as_root("rm", "-rf", elsewhere)
        self.addCleanup(as_root, "rm", "-rf", elsewhere)
        again, _, seconds = build_image(self.kind, "--lock", image.with_suffix(".lock"), "--directory", elsewhere, umask=0o077)
        box.figure(f"{self.kind} image build, elsewhere and all compiled, s", f"{seconds:.0f}")
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


class AMirror(unittest.TestCase):
    """On this machine; another one's answers are not to be had on demand."""

    package = packages.Package("tools", "all", "hello", "1", "5" * 64, "pool/hello_1_all.deb")

    def archive_at(self, port):
        scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        archive = packages.Archive(scratch, "trixie", "amd64")
        archive.options += ["-o", "Acquire::http::Proxy=DIRECT", "-o", "Acquire::Retries=0"]
        archive.mirrors = [(f"http://127.0.0.1:{port}/debian/", "trixie")]
        (scratch / "debian.sources").write_text(
            f"Types: deb\nURIs: {archive.mirrors[0][0]}\nSuites: trixie\nComponents: main\nSigned-By: {packages.KEYRING}\n")
        return archive, scratch / "packages"

    def told_of(self, port):
        archive, cache = self.archive_at(port)
        with self.assertRaises(packages.PackageError) as raised:
            archive.fetch([self.package], cache)
        return str(raised.exception)

    def told_when_answered(self, status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(status)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return self.told_of(server.server_port)

    def test_only_what_it_says_it_has_not_is_gone(self):
        self.assertRegex(self.told_when_answered(404), r"^gone from this machine's mirrors: hello 1 \(all\)")
        self.assertRegex(self.told_when_answered(503), r"^hello 1 could not be fetched:\n(.|\n)*503")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.assertRegex(self.told_of(port), r"^hello 1 could not be fetched:\n(.|\n)*refused")

    def test_a_silent_one_is_asked_again_and_then_told(self):
        """It answers the connection and nothing else: apt alone goes on for many minutes."""
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        self.enterContext(unittest.mock.patch.multiple(packages, MIRROR_SECONDS_MAX=5, MIRROR_ATTEMPTS_MAX=2))
        silence = "mirror did not answer in time: tried 2 times for 5 s"
        begun = time.monotonic()
        with self.assertRaisesRegex(packages.PackageError, silence):
            self.archive_at(port)[0].update()
        self.assertRegex(self.told_of(port), silence)
        self.assertLess(time.monotonic() - begun, 60)
        asked = 0
        listener.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
                asked += 1
        self.assertGreaterEqual(asked, 4)


def identifiers(expression):
    return re.split(r" (?:AND|OR|WITH) ", expression)


def check_spdx(test, document):
    """What SPDX 2.3 asks of a document (clauses 6, 7, 10 and 11, annex D) as far as ours goes."""
    for field, form in (("spdxVersion", r"SPDX-2\.3"), ("dataLicense", r"CC0-1\.0"), ("SPDXID", "SPDXRef-DOCUMENT"),
                        ("name", ".+"), ("documentNamespace", r"https://[^#\s]+")):
        test.assertRegex(document[field], rf"\A{form}\Z")
    test.assertRegex(document["creationInfo"]["created"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
    test.assertTrue(document["creationInfo"]["creators"])
    for creator in document["creationInfo"]["creators"]:
        test.assertRegex(creator, r"\A(Person|Organization|Tool): .")
    texts = {each["licenseId"]: each["extractedText"] for each in document["hasExtractedLicensingInfos"]}
    test.assertTrue(all(texts.values()))
    licences = SPDX_IDS | set(texts)
    for package in document["packages"]:
        test.assertTrue(package["name"] and package["downloadLocation"])
        test.assertRegex(package["SPDXID"], r"\ASPDXRef-[A-Za-z0-9.-]+\Z")
        for field in ("licenseConcluded", "licenseDeclared"):
            test.assertLessEqual(set(identifiers(package[field])), licences, package["name"])
    names = [document["SPDXID"], *(package["SPDXID"] for package in document["packages"])]
    test.assertEqual(len(names), len(set(names)))
    links = [(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"])
             for each in document["relationships"]]
    test.assertLessEqual({name for one, _, other in links for name in (one, other)}, set(names))
    test.assertIn((document["SPDXID"], "DESCRIBES", "SPDXRef-postern"), links)
    test.assertEqual({other for one, kind, other in links if (one, kind) == ("SPDXRef-postern", "CONTAINS")},
                     set(names) - {document["SPDXID"], "SPDXRef-postern"})


class AnSbom(unittest.TestCase):
    def made_of(self, *changed):
        """The document of a few packages; `changed`: fields of the last one."""
        table = sbom.known()["packages"]
        last = packages.Package("target", "all", "ca-certificates", "1", "3" * 64, "/pool/c")._replace(**dict(changed))
        files = [packages.Package("libraries", "amd64", "libstdc++-14-dev", "14.2.0-19", "1" * 64, "/pool/a"),
                 packages.Package("target", "amd64", "linux-image-6.12+deb13-amd64", "6.12-1", "2" * 64, "/pool/b"), last]
        parts = [sbom.Part(package, table[sbom.kind_of(package.name)], [], ["a 1"], "a licence") for package in files]
        return json.loads(sbom.document(parts, "0.1.0", 1_795_857_777, "amd64"))

    def test_it_has_what_spdx_asks_for(self):
        check_spdx(self, self.made_of())

    def test_its_namespace_is_its_own(self):
        """One commit with another lock made another document under the same name."""
        name = self.made_of()["documentNamespace"]
        self.assertEqual(self.made_of()["documentNamespace"], name)
        for changed in (("version", "2"), ("sha256", "4" * 64), ("name", "systemd-boot-efi")):
            self.assertNotEqual(self.made_of(changed)["documentNamespace"], name, changed)


class WhatItHolds(unittest.TestCase):
    binding = BINDING
    of_another_machine = {"u-boot-rpi"}

    @classmethod
    def setUpClass(cls):
        cls.document = json.loads(box.image().with_suffix(".spdx.json").read_text())
        cls.packages = {plain(package["name"]): package for package in cls.document["packages"] if package["name"] != "postern"}
        cls.licences = box.image().with_suffix(".licences.txt").read_text()

    def test_it_has_what_spdx_asks_for(self):
        check_spdx(self, self.document)

    def test_the_sbom_names_version_hash_and_licence_of_each_package(self):
        locked = {words[2]: words for words in map(str.split, box.image().with_suffix(".lock").read_text().splitlines())}
        texts = {each["licenseId"]: each["extractedText"] for each in self.document["hasExtractedLicensingInfos"]}
        for package in self.packages.values():
            words = locked[package["name"]]
            self.assertEqual((package["versionInfo"], package["checksums"][0]["checksumValue"]), (words[3], words[4]))
            self.assertNotEqual(package["licenseConcluded"], "NOASSERTION")
            self.assertIn(texts[package["licenseDeclared"]], self.licences)
        targets = {plain(name) for name, words in locked.items() if words[0] == "target"}
        self.assertLessEqual(targets, set(self.packages))
        self.assertEqual({sbom.kind_of(name) for name in self.packages}, set(sbom.known()["packages"]) - self.of_another_machine)

    def test_licences_that_bind_are_named_with_what_they_ask_and_their_source(self):
        bound = {name: package["licenseConcluded"] for name, package in self.packages.items() if "comment" in package}
        self.assertEqual(bound, self.binding)
        asked, _, texts = self.licences.partition("-" * 100)
        for package in (self.packages[name] for name in self.binding):
            self.assertIn("Binds who gives the box on.", package["comment"])
            source = package["sourceInfo"].removeprefix("Debian's source: ")
            self.assertIn(f"{package['name']} {package['versionInfo']}, made of Debian's source {source}\n", asked)
        for title in ("GNU GENERAL PUBLIC LICENSE", "GNU LESSER GENERAL PUBLIC LICENSE", "Mozilla Public License Version 2.0"):
            self.assertIn(title, texts)
