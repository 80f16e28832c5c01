"""Runs GoogleTest programs at once and adds up what they say."""

import os
import re
import subprocess
import sys


def cores():
    return max(1, len(os.sched_getaffinity(0)))


def _count(process, told):
    """(passed, failed) of one finished program; one that died or ran nothing has failed."""
    said = process.stdout.read()
    status = process.wait()
    passed = re.search(r"^\[  PASSED  \] (\d+) test", said, re.MULTILINE)
    failed = re.search(r"^\[  FAILED  \] (\d+) test", said, re.MULTILINE)
    good, bad = (int(found[1]) if found else 0 for found in (passed, failed))
    if status != 0 and bad == 0 or status == 0 and good == 0:
        bad += 1
    for line in said.splitlines() if bad else re.findall(told, said, re.MULTILINE):
        print(line)
    return good, bad


def run_all(commands, told):
    """Ends with "N passed, N failed"; of programs that passed the lines that match `told` are shown."""
    running = [subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for command in commands]
    passed, failed = (sum(each) for each in zip(*[_count(process, told) for process in running]))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
