"""``Retry`` and ``Catch``."""

from __future__ import annotations

from typing import Any

from stepml.local.engine.language.diagnostics import Diagnostics, wrong

ALL = "States.ALL"
FIELDS = {
    "Retry": frozenset(
        {
            "ErrorEquals",
            "IntervalSeconds",
            "MaxAttempts",
            "BackoffRate",
            "MaxDelaySeconds",
            "JitterStrategy",
            "Comment",
        }
    ),
    "Catch": frozenset({"ErrorEquals", "Next", "ResultPath", "Assign", "Output", "Comment"}),
}
LEAST = {"IntervalSeconds": 1, "MaxAttempts": 0, "MaxDelaySeconds": 1}


def check_handlers(state: dict[str, Any], location: str) -> Diagnostics:
    """Yield the problems of the retriers and catchers of ``state``."""
    for kind, fields in FIELDS.items():
        handlers = state.get(kind)
        if not isinstance(handlers, list):
            continue
        for index, handler in enumerate(handlers):
            place = f"{location}/{kind}[{index}]"
            if not isinstance(handler, dict):
                yield wrong("expected an object", place)
                continue
            for field in handler.keys() - fields:
                yield wrong(f"Field '{field}' is not supported", f"{place}/{field}")
            is_last = index == len(handlers) - 1
            yield from _check_errors(handler, f"{place}/ErrorEquals", is_last=is_last)
            if kind == "Retry":
                yield from _check_retrier(handler, place)
            elif "Next" not in handler:
                yield wrong("'Next' is missing", place)


def _check_errors(handler: dict[str, Any], location: str, *, is_last: bool) -> Diagnostics:
    names = handler.get("ErrorEquals")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        yield wrong("expected a list of at least one name of an error", location)
    elif ALL in names and (len(names) > 1 or not is_last):
        yield wrong(f"{ALL} must stand alone, and in the last item", location)


def _check_retrier(retrier: dict[str, Any], location: str) -> Diagnostics:
    for field, least in LEAST.items():
        value = retrier.get(field, least)
        if type(value) is not int or value < least:
            yield wrong(f"expected a whole number of at least {least}", f"{location}/{field}")
    rate = retrier.get("BackoffRate", 1.0)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or rate < 1:
        yield wrong("expected a number of at least 1", f"{location}/BackoffRate")
    if retrier.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
        yield wrong("expected FULL or NONE", f"{location}/JitterStrategy")
    longest, interval = retrier.get("MaxDelaySeconds"), retrier.get("IntervalSeconds", 1)
    if isinstance(longest, int) and isinstance(interval, int) and longest <= interval:
        yield wrong("expected more than IntervalSeconds", f"{location}/MaxDelaySeconds")
