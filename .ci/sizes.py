#!/usr/bin/env python3
"""Sizes of files and functions, tests left out. Fails above the hard limits; says how the rest is spread."""

import pathlib
import re
import subprocess
import sys

FILE_LIMIT = 900
FUNCTION_LIMIT = 100
ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION = re.compile(r'^(\s*)(pub(\([^)]*\))? )?(default )?(const )?(async )?(unsafe )?(extern "[^"]*" )?fn (\w+)')


def sources():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def is_test(name):
    # The package `tests` holds the simulators; what lies in a folder `tests` inside a package is tests.
    inside = name.removeprefix("tests/")
    return "tests/" in inside or inside.endswith("tests.rs")


def without_tests(lines):
    for index, line in enumerate(lines[:-1]):
        if line.startswith("#[cfg(test)]") and re.match(r"(pub(\([^)]*\))? )?mod \w+ \{", lines[index + 1]):
            return lines[:index]
    return lines


def functions(lines):
    """(first line, length, name); declarations without a body are left out."""
    for start, line in enumerate(lines):
        match = FUNCTION.match(line)
        if not match:
            continue
        indent = match.group(1)
        if line.rstrip().endswith(("}", ";")):
            if line.rstrip().endswith("}"):
                yield start + 1, 1, match.group(9)
            continue
        for end in range(start + 1, len(lines)):
            text = lines[end].rstrip()
            if text == indent + "}":
                yield start + 1, end - start + 1, match.group(9)
                break
            after = FUNCTION.match(text)
            if text.startswith(indent + ")") and text.endswith(";") or after and after.group(1) == indent:
                break


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def main():
    files, lengths, problems = [], [], []
    for name in sources():
        if is_test(name):
            continue
        lines = without_tests((ROOT / name).read_text(errors="replace").split("\n"))
        files.append(len(lines))
        if len(lines) > FILE_LIMIT:
            problems.append(f"{name}: {len(lines)} lines without tests, at most {FILE_LIMIT}: split it by idea")
        for start, length, function in functions(lines):
            lengths.append(length)
            if length > FUNCTION_LIMIT:
                problems.append(f"{name}:{start}: fn {function} has {length} lines, at most {FUNCTION_LIMIT}")
    if not lengths:
        sys.exit("no functions found: nothing was checked")
    long = sum(length > 60 for length in lengths)
    print(f"{len(files)} files, median {percentile(files, .5)}, p95 {percentile(files, .95)}, largest {max(files)} lines")
    print(f"{len(lengths)} functions, median {percentile(lengths, .5)}, p95 {percentile(lengths, .95)}, "
          f"longest {max(lengths)} lines; {long} over 60 ({100 * long / len(lengths):.1f} %)")
    if problems:
        sys.exit("\n".join(problems))


main()
