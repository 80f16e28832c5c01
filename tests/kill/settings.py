"""What the runner was asked."""

import re
import subprocess
import sys

from relay import program

rounds = 200
seed = 1
_READY_SECONDS_MAX = 2.0


def is_sanitized():
    listed = subprocess.run(["ldd", program("posternd")], capture_output=True, text=True, check=True).stdout
    return re.search(r"lib[at]san", listed) is not None


# A sanitizer's build is not what is shipped, and starts ten times slower.
ready_seconds_max = _READY_SECONDS_MAX * (10 if is_sanitized() else 1)


def say(text):
    """To the terminal: the runner keeps back what a test prints as long as it passes."""
    print(text, file=sys.__stdout__, flush=True)
