"""The console beside the local AWS: ``stepml local up --console``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stepml.cli.console import PACKAGES, PORT
from stepml.cli.errors import LocalAwsFailedError
from stepml.job.installing import require_packages

if TYPE_CHECKING:
    from stepml.local.companion import Companion


def require_console() -> None:
    """Raise `LocalAwsFailedError` if the console is not installed."""
    require_packages(PACKAGES, "the console", "console", LocalAwsFailedError)


def start_console(foreground: bool) -> Companion:
    """Start the console, unless it runs, on its usual port or the next free one."""
    from stepml.local import companion
    from stepml.local.ports import port_of, reserve_usual

    with reserve_usual(PORT) as reserved:
        options = ("--local", "--no-open", "--json", f"--port={port_of(reserved)}")
        command = [sys.executable, "-m", "stepml", "console", *options]
        return companion.start(command, with_parent=foreground)
