"""Settings of all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from functools import cache

import pytest
import typer.testing
from hypothesis import HealthCheck, settings

# What collection makes lives until the end: the collector would look at a million objects again
# and again, and find no garbage.
gc.disable()

# One thread for BLAS and OpenMP, as in functions, before anything loads them. The threads of
# several test processes would spin while they wait for each other.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# Their jobs wait often: shorter tests fill the gaps, and at the end no worker waits for them.
LONGEST = ("test_faults.py", "test_retry_cli.py", "test_recovery.py")

# No deadlines: the machine may be busy. Every CI run has the same examples, so a failure is
# caused by the change that it tests. Every other run tries new examples.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", patient)
settings.register_profile("ci", patient, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Tests invoke the command line thousands of times. The runner would build all its commands anew
# for each, which takes thirty times as long as most commands do.
typer.testing._get_command = cache(typer.testing._get_command)

# Background tests inherit an ignored Ctrl-C, and the commands under test would inherit it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Let the collector look only at objects of the tests that run."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Let the collector look only at objects of the present file.

    Libraries that a file has loaded, and what they cache, are objects by the hundred thousand.
    """
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
