"""Serves the console, and writes when it asks AWS, and when it reads a job.

    python -m benchmarks.console_process ENDPOINT_URL JOB LOG

A line of LOG is a JSON object: ``{"at": 17.5, "call": "DescribeExecution"}`` or
``{"at": 17.5, "seconds": 0.02, "finished": 440}``, by the clock of `time.time`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

from stepml.client import Client, connect
from stepml.console.access import Access
from stepml.console.board import Board
from stepml.console.jobs_board import job_feed
from stepml.console.server import serve
from stepml.console.sockets import Place


class Log:
    """Writes lines from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._writing = Lock()

    def write(self, **line: Any) -> None:
        """Write a line."""
        with self._writing:
            self._file.write(f"{json.dumps(line)}\n")


def observe(board: Board, job: str, log: Log) -> None:
    """Let the board's requests, and its readings of a job, write to ``log``."""
    pacing, feed = board.pacing, job_feed(board, job)
    wait, read = pacing.wait, feed._read

    def observed_wait(service: str, operation: str) -> None:
        wait(service, operation)
        log.write(at=time.time(), call=operation)

    def observed_read() -> Any:
        at = time.time()
        now = read()
        log.write(at=at, seconds=time.time() - at, finished=now.look.finished)
        return now

    pacing.wait = observed_wait  # type: ignore[method-assign]
    feed._read = observed_read


def main(endpoint_url: str, job: str, log: str) -> None:
    """Serve until the process is ended; the first line of output is the address."""
    board = Board(Client(connect(endpoint_url)))
    observe(board, job, Log(Path(log)))

    def tell(access: Access) -> None:
        print(f"http://{access.host}:{access.port}", flush=True)

    serve(board, Place("127.0.0.1", 0), tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
