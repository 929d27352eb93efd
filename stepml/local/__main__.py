"""Run the local AWS in the foreground: ``python -m stepml.local --port 4566``."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from stepml.local.keeping.store import KeepError
from stepml.local.network import Network, NetworkError, network_path, read_network
from stepml.local.system import allow_many_files, require_linux
from stepml.local_identity import DEFAULT_CONCURRENCY, DEFAULT_PORT, use_no_configuration
from stepml.state_directory import state_directory

if TYPE_CHECKING:
    from stepml.local.server import LocalAws


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then end every function process."""
    options = _parser().parse_args(arguments)
    require_linux(sys.platform)
    use_no_configuration(os.environ)
    allow_many_files()
    try:
        aws = _local_aws(options)
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{options.port}: {error}", file=sys.stderr)
        return 1
    except KeepError as error:
        print(error, file=sys.stderr)
        return 1

    def stop(signal_number: int, frame: FrameType | None) -> None:
        # `stop` waits for `serve`, which this handler interrupts, so it needs another thread.
        threading.Thread(target=aws.stop, daemon=True).start()

    if options.with_parent:
        threading.Thread(target=_stop_with_parent, args=(aws,), daemon=True).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        print(f"local AWS on {aws.endpoint_url}", flush=True)
        aws.serve()
    finally:
        is_whole = _closed(aws)
    return 0 if is_whole else 1


def _closed(aws: LocalAws) -> bool:
    """Close the server; return whether everything is kept that it was to keep."""
    try:
        aws.close()
    except KeepError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _local_aws(options: argparse.Namespace) -> LocalAws:
    gc.disable()  # modules and their objects stay: the collector would look at them again and again
    # moto reads the environment at import.
    from stepml.local.light_moto import import_moto

    import_moto()
    from stepml.local.server import LocalAws

    aws = LocalAws(
        port=options.port,
        concurrency=options.concurrency,
        state=state_directory(),
        identity=options.id,
        requests_log=options.requests,
        network=options.network,
        keep=options.keep,
    )
    gc.freeze()
    gc.enable()
    return aws


def _stop_with_parent(aws: LocalAws) -> None:
    sys.stdin.read()  # a pipe that is closed when the process at its other end has ended
    aws.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stepml.local", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 chooses a free one")
    parser.add_argument(
        "--concurrency",
        type=_positive,
        default=DEFAULT_CONCURRENCY,
        help="functions that run at once in the account",
    )
    parser.add_argument("--id", help="by which clients know this server; default: drawn at random")
    parser.add_argument("--requests", type=Path, help="log all requests to this file")
    parser.add_argument("--network", type=_network, help="a file with latencies, as TOML")
    parser.add_argument("--keep", type=Path, help="directory for everything that it has")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    return parser


def _network(text: str) -> Network:
    try:
        return read_network(network_path(text))
    except NetworkError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
