"""The goals, and the table that a stranger can read."""

import dataclasses

# Where two figures are given, "kept" is kept-64 and "one each" is one-8.
SPEED_RATIO_MIN = 4.0          # messages/s end to end, against Postfix in the same run
SCAN_SPEED_RATIO_MIN = 2.0     # MB/s of 5 MiB scans
PROCESSOR_RATIO_MAX = 1 / 3    # CPU seconds per 1000 messages
IDLE_MB_MAX = 6.0              # PSS of the whole server
CONNECTION_KB_MAX = 45.0       # an idle TLS connection, logged in
WRITTEN_SMALL_MAX = 1.6        # bytes written per byte of a 10 KiB message
WRITTEN_SCAN_MAX = 1.02        # the same of a 5 MiB scan
SYNC_CALLS_MAX = 0.2           # a message, at 64 connections


@dataclasses.dataclass(frozen=True)
class Goal:
    limit: float
    at_least: bool = False
    of_ratio: bool = False

    def text(self):
        return f"{'≥' if self.at_least else '≤'} {self.limit:.3g}{' ×' if self.of_ratio else ''}"

    def reached(self, ours, ratio):
        value = ratio if self.of_ratio else ours
        if value is None:
            return "needs --peer"
        return "yes" if (value >= self.limit if self.at_least else value <= self.limit) else "NO"


SPEED = Goal(SPEED_RATIO_MIN, at_least=True, of_ratio=True)
PROCESSOR = Goal(PROCESSOR_RATIO_MAX, of_ratio=True)
WRITTEN = Goal(WRITTEN_SMALL_MAX)
GOALS = {
    ("one-8", "messages/s"): SPEED,
    ("kept-64", "messages/s"): SPEED,
    ("scan-8", "MB/s"): Goal(SCAN_SPEED_RATIO_MIN, at_least=True, of_ratio=True),
    ("one-8", "CPU s per 1000 messages"): PROCESSOR,
    ("kept-64", "CPU s per 1000 messages"): PROCESSOR,
    ("one-8", "bytes written per byte"): WRITTEN,
    ("one-64", "bytes written per byte"): WRITTEN,
    ("kept-8", "bytes written per byte"): WRITTEN,
    ("kept-64", "bytes written per byte"): WRITTEN,
    ("scan-8", "bytes written per byte"): Goal(WRITTEN_SCAN_MAX),
    ("idle", "idle PSS, MB"): Goal(IDLE_MB_MAX),
    ("idle", "KB per idle connection"): Goal(CONNECTION_KB_MAX),
    ("sync", "sync calls a message"): Goal(SYNC_CALLS_MAX),
}


def number(value):
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rows_of(scenario, ours, theirs):
    """Dictionaries, one a figure; `theirs` is None without a peer."""
    for figure, value in ours.items():
        other = theirs.get(figure) if theirs else None
        ratio = value / other if other else None
        goal = GOALS.get((scenario, figure))
        yield {"scenario": scenario, "figure": figure, "postern": value, "postfix": other, "ratio": ratio,
               "goal": goal.text() if goal else "", "reached": goal.reached(value, ratio) if goal else ""}


def print_table(rows, titles):
    head = ["figure", "Postern", "Postfix", "ratio", "goal", "reached"]
    lines = [[row["figure"], number(row["postern"]), number(row["postfix"]), number(row["ratio"]), row["goal"],
              row["reached"]] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *lines)]

    def show(words):
        print("  " + words[0].ljust(widths[0]) + "".join("  " + word.rjust(width)
                                                         for word, width in zip(words[1:], widths[1:])))

    scenario = None
    for row, line in zip(rows, lines):
        if row["scenario"] != scenario:
            scenario = row["scenario"]
            print(f"\n{scenario}: {titles[scenario]}")
            show(head)
        show(line)
    goals = [row for row in rows if row["goal"]]
    print(f"\n{sum(row['reached'] == 'yes' for row in goals)} of {len(goals)} goals reached")
