"""The command line: presentation of what `stepml.client` and `stepml.local` do."""

import os
import signal
import sys

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the ``stepml`` command and exit with its code."""
    # Libraries that are interrupted while they load may raise anything; nothing has started yet.
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from stepml.cli.streams import prepare

    prepare()
    from stepml.cli.app import run

    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run()
    if is_ours:  # a second Ctrl-C, while threads end
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)
