"""The arm64 image, cross-compiled: on a generic UEFI machine it does what the amd64 one does."""

import functools
import os
import unittest.mock

import image_builder
import test_build
import test_configuration
import test_hardening
import test_update
from box import figure


@functools.cache
def image():
    file, sizes, seconds = image_builder.build_image("arm64")
    figure("arm64: image build, everything compiled, s", f"{seconds:.0f}")
    for part, size in sizes.items():
        figure(f"arm64: {part}, MB", size)
    return file


@functools.cache
def good_bundle():
    return image_builder.make_bundle("good", image())


class OnArm64:
    """Before a class of tests: it runs them there. The programs that run on this machine stay those of amd64."""

    long = True
    group = "arm64"  # whose image is built by the first of them
    kind = "arm64"

    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(unittest.mock.patch.dict(os.environ, POSTERN_IMAGE=str(image())))
        super().setUpClass()


class AnImageForArm64(OnArm64, test_build.AnImage):
    pass


class AnImageMadeAfreshForArm64(OnArm64, test_build.AnImageMadeAfresh):
    pass


class WhatItHoldsOnArm64(OnArm64, test_build.WhatItHolds):
    binding = test_build.BINDING | {"u-boot-rpi": "GPL-2.0-only"}
    of_another_machine = set()


class WhatRunsOnABoxForArm64(OnArm64, test_hardening.WhatRunsOnABox):
    pass


class ADroppedConfigurationOnArm64(OnArm64, test_configuration.ADroppedConfiguration):
    pass


class AnUpdateOnArm64(OnArm64, test_update.AnUpdate):
    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(unittest.mock.patch.dict(os.environ, POSTERN_BUNDLES=str(good_bundle().parent)))
        super().setUpClass()
