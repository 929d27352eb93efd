"""Functions of the test application; the event controls them."""

import json
import os
import time
from pathlib import Path

# A cold start takes a while, or until a file exists.
time.sleep(float(os.environ.get("START_S", "0")))
while "START_AWAITS" in os.environ and not Path(os.environ["START_AWAITS"]).exists():
    time.sleep(0.02)


class FlakyError(Exception):
    """Raised until a counter reaches the event's ``fails``."""


class BrokenError(Exception):
    """Always raised."""


def executor(event, context):
    """Train a rank of an epoch, or follow the event's ``plan``."""
    perform(event.get("plan", {}), event)
    return {"rank": event.get("rank", 0), "epoch": event.get("epoch", 0)}


def reducer(event, context):
    """Decide whether the job is done."""
    return {
        "epoch": event["epoch"],
        "n_results": len(event["results"]),
        "done": event["epoch"] + 1 >= event["max_epochs"],
    }


def probe(event, context):
    """Follow the event; return it, the greeting and the number of calls."""
    calls = perform(event, event)
    pad = "x" * event.get("pad_bytes", 0)
    return {"event": event, "greeting": os.environ["GREETING"], "calls": calls, "pad": pad}


def noter(event, context):
    """Record an event in the file that the execution's input names, if any."""
    plan = json.loads(event["detail"]["input"]).get("plan", {})
    if "notes" in plan and note_call(Path(plan["notes"]), event) <= plan.get("note_fails", 0):
        raise FlakyError("not noted")


def perform(plan, event):
    """Record the call, wait for files, sleep, print, crash or fail."""
    calls = note_call(Path(plan["calls"]), event) if "calls" in plan else 1
    for path in plan["awaits"][calls - 1] if "awaits" in plan else []:
        while not Path(path).exists():
            time.sleep(0.02)
    if "print" in plan:
        print(plan["print"])
    time.sleep(plan["sleeps_s"][calls - 1] if "sleeps_s" in plan else plan.get("sleep_s", 0))
    if "marker" in plan:
        Path(plan["marker"]).touch()
    if "exit" in plan:
        os._exit(plan["exit"])
    if plan.get("broken") == event.get("rank", 0):
        raise BrokenError(f"rank {event.get('rank', 0)} is broken")
    if "raises" in plan:
        raise type(plan["raises"], (Exception,), {})("as told")
    if calls <= plan.get("fails", 0):
        raise FlakyError(f"call {calls}")
    return calls


def note_call(path, event):
    """Append a line to a file and return its number of lines."""
    with path.open("a") as calls:
        calls.write(json.dumps(event) + "\n")
    return len(path.read_text().splitlines())
