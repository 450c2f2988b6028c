#!/usr/bin/env python3
"""The README's example is examples/quickstart.rs, which is compiled; relative links in the pages lead to files.

`--write` puts the file into the README.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- quickstart: [^\n]*-->\n```rust,no_run\n)(.*?)(```\n)", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    example = (ROOT / "examples/quickstart.rs").read_text()
    found = BLOCK.search(text)
    if not found:
        sys.exit("README.md: the quickstart block is missing")
    if "--write" in sys.argv[1:]:
        readme.write_text(text[: found.start(2)] + example + text[found.end(2):])
        return
    problems = []
    if found.group(2) != example:
        problems.append("README.md: the example differs from examples/quickstart.rs; run .ci/readme.py --write")
    pages = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    for page in pages.stdout.split():
        for target in LINK.findall((ROOT / page).read_text()):
            if "://" not in target and not (ROOT / page).parent.joinpath(target).exists():
                problems.append(f"{page}: {target} does not exist")
    if problems:
        sys.exit("\n".join(problems))


main()
