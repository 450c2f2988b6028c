#!/usr/bin/env python3
"""Reads what the tests tell, traced, from standard input; shows what a person wants to see of it; fails on a canary.

Lines of traces, logs and metrics are counted and left out. The last line of the input must be the control: a canary that was
planted, to show that the search finds one.
"""
import re
import sys
from pathlib import Path

CONTROL = "planted canary: "
TRACE = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z +(TRACE|DEBUG|INFO|WARN|ERROR) |log (TRACE|DEBUG|INFO|WARN|ERROR) |metric )")


def main() -> int:
    lines = Path(__file__).with_name("canaries").read_text().splitlines()
    canaries = [line for line in lines if line and not line.startswith("#")]
    traced = searched = 0
    hits, planted = [], set()
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
