"""Settings of all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadlines: the machine may be busy. The same examples in every CI run: what they find there
# fails the change that brought it, not the next one; other examples are tried at every other run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Tests that run in the background inherit an ignored Ctrl-C, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
