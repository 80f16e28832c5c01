"""Signs with the owner's key what a machine's own firmware judges: the boot loader and the slots' kernel images.

Promise: what was signed verifies with the owner's certificate; the moment inside the signature is the image's date, so that
two signed builds are bit-identical. The key is read by this machine's sbsign where it lies and is copied nowhere.
"""

import collections
import os
import time

from packages import PackageError, run

Owner = collections.namedtuple("Owner", "key certificate")


def owner_of(key, certificate):
    if bool(key) != bool(certificate):
        raise PackageError("--secure-boot-key and --secure-boot-certificate belong together")
    for file in filter(None, (key, certificate)):
        if not os.access(file, os.R_OK):
            raise PackageError(f"{file} cannot be read")
    return Owner(key, certificate) if key else None


def sign(file, owner, date):
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(date))
    signed = file.with_suffix(".signed")
    run("faketime", "-f", moment, "sbsign", "--key", owner.key, "--cert", owner.certificate, "--output", signed, file,
        env={**os.environ, "TZ": "UTC"})
    run("sbverify", "--cert", owner.certificate, signed)
    signed.replace(file)
