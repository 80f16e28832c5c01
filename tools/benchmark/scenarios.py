"""The scenarios and how one is run against one server: what goes in, what is read, what must hold.

Promise: a figure is only given when every message got its 250, arrived once in the sink with all its signatures, and
left nothing in the queue; anything else ends the run with a sentence.
"""

import dataclasses
import os
import pathlib
import subprocess
import threading
import time

import measure
from servers import PASSWORD, RECIPIENT, SENDER, SINK_PASSWORD, SINK_USER, USER, free_port

KIB, MIB = 1 << 10, 1 << 20
RUN_SECONDS_MAX = 300
QUEUE_SECONDS_MAX = 30
SETTLE_SECONDS = 0.5  # after the last arrival: rows deleted, processes back to sleep
IDLE_SECONDS = 1.5    # until what a start or a load has left running is over
QUICK_PART = 20       # --quick sends one message in so many


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    mode: str  # of postern-bench load
    connections: int
    messages: int
    message_bytes: int

    def quick(self):
        return dataclasses.replace(self, messages=max(self.connections, self.messages // QUICK_PART),
                                   connections=self.connections if self.mode != "idle" else self.connections // QUICK_PART)

    @property
    def is_scan(self):
        return self.message_bytes >= MIB


SCENARIOS = [
    Scenario("one-8", "10 KiB, 8 connections, one message each", "one", 8, 2000, 10 * KIB),
    Scenario("one-64", "10 KiB, 64 connections, one message each", "one", 64, 2000, 10 * KIB),
    Scenario("kept-8", "10 KiB, 8 kept connections", "kept", 8, 3000, 10 * KIB),
    Scenario("kept-64", "10 KiB, 64 kept connections", "kept", 64, 4000, 10 * KIB),
    Scenario("scan-8", "5 MiB scans, 8 kept connections", "kept", 8, 64, 5 * MIB),
    Scenario("idle", "1000 idle authenticated connections", "idle", 1000, 0, 10 * KIB),
    Scenario("sync", "10 KiB, 64 kept connections, counted by strace", "kept", 64, 2000, 10 * KIB),
]


class Sink:
    """The program's sink; one for the whole run."""

    def __init__(self, program, certificate, key):
        self.port = free_port()
        self._process = subprocess.Popen(
            [program, "sink", "--port", str(self.port), "--certificate", certificate, "--private-key", key,
             "--user", SINK_USER, "--password", SINK_PASSWORD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._read_line("the sink's start")

    @property
    def pid(self):
        return self._process.pid

    def _read_line(self, what, server=None):
        # A timer instead of select(): readline() may hold what select() no longer sees.
        expired = threading.Timer(RUN_SECONDS_MAX, self._process.kill)
        expired.start()
        line = self._process.stdout.readline()
        expired.cancel()
        if not line:
            log = f"; the server's log ends:\n{_tail(server.log)}" if server else ""
            raise RuntimeError(f"no answer within {RUN_SECONDS_MAX} s: {what}{log}")
        return line.split()

    def expect(self, messages, file):
        self._process.stdin.write(f"expect {messages} {file}\n")

    def wait(self, server):
        """(duplicates, connections) when all that was expected has arrived."""
        words = self._read_line("all messages in the sink", server)
        return int(words[3]), int(words[5])

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)


@dataclasses.dataclass
class Bench:
    """What all runs share."""
    program: str  # postern-bench
    scratch: pathlib.Path
    disk: object
    authority: object
    sink: Sink

    def load_command(self, server, scenario):
        return [self.program, "load", "--port", server.port, "--roots", self.authority.ca_file, "--user", USER,
                "--password", PASSWORD, "--sender", SENDER, "--recipient", RECIPIENT, "--mode", scenario.mode,
                "--connections", scenario.connections, "--messages", max(1, scenario.messages),
                "--message-bytes", scenario.message_bytes, "--report", self.scratch / "sent"]


def _tail(log):
    return log.read_text(errors="replace")[-3000:]


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def send(bench, server, scenario):
    """Runs the load to the last arrival: ({number: (MAIL, 250)}, {number: arrival}, begin, load's seconds, connections)."""
    bench.sink.expect(scenario.messages, bench.scratch / "arrived")
    load = subprocess.Popen(list(map(str, bench.load_command(server, scenario))), stderr=subprocess.PIPE)
    errors = load.stderr.read().decode()
    _, status, usage = os.wait4(load.pid, 0)
    load.returncode = os.waitstatus_to_exitcode(status)
    if load.returncode != 0:
        raise RuntimeError(f"{server.title}, {scenario.name}: {errors.strip()}; its log ends:\n{_tail(server.log)}")
    duplicates, connections = bench.sink.wait(server)
    lines = (bench.scratch / "sent").read_text().splitlines()
    sent = {int(number): (int(mail), int(accepted)) for number, mail, accepted in map(str.split, lines[1:])}
    arrived = {}
    for line in (bench.scratch / "arrived").read_text().splitlines():
        number, when, size, signatures = map(int, line.split())
        arrived[number] = when
        if signatures != server.signatures or size < scenario.message_bytes:
            raise RuntimeError(f"{server.title}: message {number} arrived with {size} octets and {signatures} "
                               f"signatures; expected are {scenario.message_bytes} and {server.signatures}")
    if duplicates or arrived.keys() != sent.keys():
        raise RuntimeError(f"{server.title}: {duplicates} duplicates, {len(arrived)} of {len(sent)} messages arrived")
    return sent, arrived, int(lines[0].split()[1]), usage.ru_utime + usage.ru_stime, connections


def wait_until_empty(server):
    deadline = time.monotonic() + QUEUE_SECONDS_MAX
    while waiting := server.waiting():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.title}: {waiting} messages still wait in the queue after all have arrived")
        time.sleep(0.2)


def warm_up(bench, server, scenario):
    """Every process, thread and connection has worked once; the password is known."""
    send(bench, server, dataclasses.replace(scenario, messages=scenario.connections, message_bytes=10 * KIB))
    wait_until_empty(server)


def run_load(bench, server, scenario):
    warm_up(bench, server, scenario)
    sink_begun = measure.processor_seconds([bench.sink.pid])
    written_begun = bench.disk.written_bytes(server.roots)
    processor_begun = measure.processor_seconds(server.roots)
    with measure.PeakMemory(server.roots) as memory:
        sent, arrived, begun, load_seconds, connections = send(bench, server, scenario)
    time.sleep(SETTLE_SECONDS)
    processor = measure.processor_seconds(server.roots) - processor_begun
    sink_seconds = measure.processor_seconds([bench.sink.pid]) - sink_begun
    wait_until_empty(server)
    written = bench.disk.written_bytes(server.roots) - written_begun
    seconds = (max(arrived.values()) - begun) / 1e9
    replies = [(accepted - mail) / 1e6 for mail, accepted in sent.values()]
    journeys = [(arrived[number] - mail) / 1e6 for number, (mail, _) in sent.items()]
    thousands = scenario.messages / 1000
    content = scenario.messages * scenario.message_bytes
    speed = {"MB/s": content / seconds / 1e6} if scenario.is_scan else {"messages/s": scenario.messages / seconds}
    time.sleep(IDLE_SECONDS)
    return speed | {
        "reply p50, ms": percentile(replies, 0.5), "reply p99, ms": percentile(replies, 0.99),
        "end to end p50, ms": percentile(journeys, 0.5), "end to end p99, ms": percentile(journeys, 0.99),
        "CPU s per 1000 messages": processor / thousands,
        "CPU s per 1000, load source": load_seconds / thousands,
        "CPU s per 1000, sink": sink_seconds / thousands,
        "peak PSS, MB": memory.bytes / 1e6,
        "PSS after the load, MB": measure.proportional_set_bytes(server.roots) / 1e6,
        "bytes written per byte": written / content,
        "connections to the sink": connections,
    }


def run_idle(bench, server, scenario):
    time.sleep(IDLE_SECONDS)
    idle = measure.proportional_set_bytes(server.roots)
    load = subprocess.Popen(list(map(str, bench.load_command(server, scenario))), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if load.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{server.title}, idle: {load.stderr.read().strip()}; its log ends:\n{_tail(server.log)}")
    time.sleep(IDLE_SECONDS)
    full = measure.proportional_set_bytes(server.roots)
    load.communicate()
    return {"idle PSS, MB": idle / 1e6, "PSS with all connections, MB": full / 1e6,
            "KB per idle connection": (full - idle) / scenario.connections / 1e3}


def run(bench, make_server, scenario):
    """The figures of one scenario against one server, fresh from its start: {figure: number}."""
    if scenario.name != "sync":
        with make_server() as server:
            return (run_idle if scenario.mode == "idle" else run_load)(bench, server, scenario)
    table = bench.scratch / "strace"
    with make_server(prefix=measure.strace_prefix(table)) as server:
        send(bench, server, scenario)
        wait_until_empty(server)
    return {"sync calls a message": measure.sync_calls(table) / scenario.messages}
