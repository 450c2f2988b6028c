#!/usr/bin/env python3
"""Checks the JSON of two runs of `crm_sync` over the same mailbox and database."""

import json
import pathlib
import sys

KEYS = {
    "messages": int, "activities": int, "skipped": dict, "quarantined": int, "contacts_matched": int,
    "deals_matched": int, "requests": int, "quota_units": int, "duration_ms": int, "up_to_date": bool,
}


def read(path):
    try:
        run = json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        sys.exit(f"{path}: stdout is not one JSON object: {error}")
    problems = [f"{key} is missing or no {kind.__name__}" for key, kind in KEYS.items() if type(run.get(key)) is not kind]
    problems += [f"{key} is not documented" for key in run.keys() - KEYS.keys()]
    if not problems:
        parts = run["activities"] + sum(run["skipped"].values()) + run["quarantined"]
        if run["messages"] != parts:
            problems.append(f"messages is {run['messages']}, its parts make {parts}")
        if not run["up_to_date"]:
            problems.append("the run ended well, but is not up to date")
    if problems:
        sys.exit(f"{path}: {'; '.join(problems)}\n{json.dumps(run)}")
    print(json.dumps(run))
    return run


first, second = (read(path) for path in sys.argv[1:])
if not first["activities"] or not first["contacts_matched"] or not first["requests"]:
    sys.exit("the first run found nothing: the sample mailbox has messages that match")
if second["messages"] or second["activities"]:
    sys.exit(f"the second run decided {second['messages']} messages again")
if not second["requests"] < first["requests"]:
    sys.exit("the second run asked the service as often as the first")
