"""The command line: presentation of what `stepml.client` and `stepml.local` do."""

import os
import signal
import sys


def main() -> None:
    """Run the ``stepml`` command and exit with its code."""
    try:
        from stepml.cli.app import app  # not at import: `stepml.cli` itself stays light

        app()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
