"""tools/bench: measures the whole relay between a load source and a sink, beside Postfix when asked.

Promise: loopback and a scratch directory only; both servers are measured in turn, scenario by scenario, in one run on
one file system; everything is stopped and removed at the end, also after an error. Exit code 0: everything was measured
(whether or not the goals are reached); 1: a sentence says what went wrong.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "interop"))

import measure  # noqa: E402
import peer  # noqa: E402
import scenarios  # noqa: E402
import table  # noqa: E402
from authority import Authority  # noqa: E402  (found by the line above)
from servers import Postern  # noqa: E402

DESCRIPTORS_MIN = 4096  # 1000 connections, and as many processes of the peer


def arguments_of(words):
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures the whole relay on loopback.")
    parser.add_argument("--peer", choices=["postfix"], help="measure Postfix with OpenDKIM too, for ratios (needs root)")
    parser.add_argument("--scenario", action="append", choices=[each.name for each in scenarios.SCENARIOS],
                        help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true",
                        help="a twentieth of the messages: shows that it works, not how fast")
    parser.add_argument("--json", action="store_true", help="the rows as JSON instead of the table")
    parser.add_argument("--directory", default="/var/tmp", help="where the measured file system's image lies")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)  # given by tools/bench
    return parser.parse_args(words)


def progress(text):
    print(text, file=sys.stderr, flush=True)


def measure_all(arguments, scratch, disk):
    """[(scenario, Postern's figures, the peer's or None)]"""
    authority = Authority(scratch / "ca")
    certificate, key = authority.issue("server", ["localhost"])
    build = pathlib.Path(arguments.build).resolve()
    program = str(build / "postern-bench")
    sink = scenarios.Sink(program, certificate, key)
    bench = scenarios.Bench(program, scratch, disk, authority, sink)

    def postern(prefix=()):
        return Postern(disk.path / "postern", scratch, build, authority, certificate, key, sink.port, prefix)

    def postfix(prefix=()):
        return peer.Postfix(disk.path / "postfix", scratch, authority, certificate, key, sink.port, prefix)

    found = []
    try:
        for scenario in scenarios.SCENARIOS:
            if arguments.scenario and scenario.name not in arguments.scenario:
                continue
            if arguments.quick:
                scenario = scenario.quick()
            progress(f"{scenario.name}: Postern …")
            ours, theirs = scenarios.run(bench, postern, scenario), None
            if arguments.peer:
                progress(f"{scenario.name}: Postfix …")
                theirs = scenarios.run(bench, postfix, scenario)
            found.append((scenario, ours, theirs))
    finally:
        sink.close()
    return found


def describe(arguments, disk, seconds):
    print(f"{os.cpu_count()} processors, Linux {platform.release()}, {seconds:.0f} s"
          + (", --quick: the figures mean little" if arguments.quick else ""))
    print("Postern: RSA-2048 and Ed25519 signatures, durable before 250; devices by STARTTLS and AUTH PLAIN, the sink by "
          "verified STARTTLS.")
    if arguments.peer:
        print(f"{peer.version()}: the same, RSA-2048 only. Ratios are Postern / Postfix.")
    print(f"Bytes written: {disk.what}. Sync calls: a run of its own under strace.")


def run(arguments):
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="postern-bench-", dir=arguments.directory))
    scratch.chmod(0o711)  # Postfix's daemons walk through
    begun, disk = time.monotonic(), None
    try:
        disk = measure.open_disk(scratch)
        found = measure_all(arguments, scratch, disk)
        rows = [row for scenario, ours, theirs in found for row in table.rows_of(scenario.name, ours, theirs)]
        if arguments.json:
            print(json.dumps({"written": disk.what, "quick": arguments.quick, "rows": rows}, indent=1))
        else:
            describe(arguments, disk, time.monotonic() - begun)
            table.print_table(rows, {scenario.name: scenario.title for scenario, _, _ in found})
    finally:
        if disk is not None:
            disk.close()
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    arguments = arguments_of(sys.argv[1:])
    if arguments.peer and (os.geteuid() != 0 or not peer.is_installed()):
        sys.exit("bench: --peer postfix needs root and the packages of `tools/install --bench`")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS_MIN:
        sys.exit(f"bench: a process may open {hard} files here; at least {DESCRIPTORS_MIN} are needed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS_MIN), hard))
    try:
        run(arguments)
    except RuntimeError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
