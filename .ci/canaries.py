#!/usr/bin/env python3
"""Reads what the tests tell, traced, from standard input; shows what a person wants to see of it; fails on a canary.

Lines of traces, logs and metrics are counted and left out. What failed is said once more at the end, where it is not buried
under what other tests print. The last line of the input must be the control: a canary that was
planted, to show that the search finds one.
"""
import re
import sys
from pathlib import Path

CONTROL = "planted canary: "
TRACE = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z +(TRACE|DEBUG|INFO|WARN|ERROR) |log (TRACE|DEBUG|INFO|WARN|ERROR) |metric )")
FAILED = re.compile(r"test (\S+) .*\bFAILED$")
# "thread 'name' (number) panicked at file:line:column:", and the message on the next line.
PANICKED = re.compile(r"^thread '(\S+)' .*panicked at (\S+?):?$")
LAST_LINES = 12


class Failures:
    """The tests that failed, and how threads of their names panicked: some of those are meant to."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.panics: dict[str, list[str]] = {}
        self.telling: list[str] = []

    def read(self, line: str) -> None:
        panicked, failed = PANICKED.search(line), FAILED.search(line)
        if failed:
            self.failed.append(failed.group(1))
        if panicked:
            self.telling = self.panics.setdefault(panicked.group(1), [])
            self.telling.append(panicked.group(2))
        elif line.startswith("stack backtrace:"):
            self.telling = []
        elif len(self.telling) in range(1, LAST_LINES):
            self.telling.append(line)

    def show(self) -> None:
        for name in self.failed:
            print(f"failed: {name}")
            for line in self.panics.get(name, []):
                print(f"    {line}")


def main() -> int:
    lines = Path(__file__).with_name("canaries").read_text().splitlines()
    canaries = [line for line in lines if line and not line.startswith("#")]
    traced = searched = 0
    hits, planted, failures = [], set(), Failures()
    for raw in sys.stdin.buffer:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        searched += 1
        found = [canary for canary in canaries if canary in line]
        if line.startswith(CONTROL):
            planted.update(found)
            continue
        hits += [f"{canary} in: {line[:400]}" for canary in found]
        if TRACE.match(line):
            traced += 1
        else:
            print(line, flush=True)
            failures.read(line)
    failures.show()
    print(f"{searched} lines searched for {len(canaries)} canaries, {traced} of them traces: {len(hits)} hits")
    if set(canaries) != planted:
        print("the search did not find the canaries that were planted for it", file=sys.stderr)
        return 1
    if traced == 0:
        print("nothing was traced: the search proves nothing", file=sys.stderr)
        return 1
    for hit in hits[:20]:
        print(f"told: {hit}", file=sys.stderr)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
