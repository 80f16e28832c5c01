"""What the runner was asked."""

import sys

from relay import is_sanitized

rounds = 200
seed = 1
_READY_SECONDS_MAX = 2.0

# A sanitizer's build is not what is shipped, and starts ten times slower.
ready_seconds_max = _READY_SECONDS_MAX * (10 if is_sanitized() else 1)


def say(text):
    """To the terminal: the runner keeps back what a test prints as long as it passes."""
    print(text, file=sys.__stdout__, flush=True)
