"""What firmware/build makes: the same again from its lock; and a lock whose package is gone."""

import hashlib
import subprocess
import unittest

import box
import image_builder
from image_builder import BUILD, as_root, build_image

IMAGE_XZ_MEGABYTES_MAX = 32
GONE = "tools all hello 1:0.1-1 " + "5" * 64 + " /pool/main/h/hello/hello_0.1-1_all.deb"


def made_with(image):
    """{name: SHA-256} of the image and of everything that firmware/build leaves beside it."""
    files = [image, *(image.with_suffix(end) for end in (".lock", ".spdx.json")),
             *image.with_suffix(".parts").iterdir()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class AnImage(unittest.TestCase):
    kind = "amd64"

    def test_it_fits_its_budget_when_packed(self):
        packed = subprocess.run(["xz", "-T2", "-6", "--stdout", box.image()], stdout=subprocess.PIPE, check=True).stdout
        box.figure(f"{self.kind} image packed by xz, MB", f"{len(packed) / 1e6:.1f}")
        self.assertLess(len(packed) / 1e6, IMAGE_XZ_MEGABYTES_MAX)


class AnImageMadeAgain(unittest.TestCase):
    def test_from_its_lock_with_its_first_programs_compiled_again_it_is_the_same(self):
        """Every step of making the image; of the compiling what takes seconds. The long form compiles everything."""
        image = box.image()
        first = made_with(image)
        compiled = BUILD / "amd64/tools/build/out/firmware"
        programs = [compiled / name for name in ("first-process", "supervisor", "install-update")]
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
