"""Settings of all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadlines: the machine may be busy. Every CI run has the same examples, so a failure is
# caused by the change that it tests. Every other run tries new examples.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Background tests inherit an ignored Ctrl-C, and the commands under test would inherit it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
