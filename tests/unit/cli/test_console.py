"""``stepml console`` as a process: what it says, what it serves, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.console.sockets import Place, listening
from tests.support.moto_stack import MotoStack

WAIT_S = 240.0


@contextmanager
def console(stack: MotoStack, directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command for a program, on a port that is free."""
    arguments = ["console", "--json", "--port=0", f"--endpoint-url={stack.endpoint_url}", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "stepml", *arguments],
        env={**os.environ, "STEPML_STATE_DIR": str(directory / "state")},
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def answer(url: str, cookie: str = "") -> tuple[int, str, str]:
    """Return status, text and cookie of a page or of one of its parts."""
    try:
        with urlopen(Request(url, headers={"cookie": cookie} if cookie else {})) as found:
            return found.status, found.read().decode(), found.headers["set-cookie"] or ""
    except HTTPError as error:
        return error.code, error.read().decode(), ""


def test_it_says_where_it_is_serves_pages_and_parts_and_ends_quietly(
    stack: MotoStack, tmp_path: Path
) -> None:
    with console(stack, tmp_path) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["pid"], ready["stack"]) == (process.pid, "stepml")
        url = ready["url"].rstrip("/")
        status, page, cookie = answer(url)
        assert (status, "<title>Jobs – StepML</title>" in page) == (200, True)
        parts = re.findall(r'(?:src|href)="(/[^"]+)"', page)
        assert {"/favicon.ico"} < set(parts)
        assert [part for part in parts if answer(url + part, cookie)[0] != 200] == []
        for missing in ("/nix", "/jobs/x/epochs/y", "/docs", "/openapi.json", "/redoc"):
            status, page, _ = answer(url + missing, cookie)
            assert (status, "<title>Page not found – StepML</title>" in page) == (404, True)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=WAIT_S) == ("", "")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []  # nothing is left in the person's directory


def said(stack: MotoStack, *options: str) -> tuple[int, str]:
    """Run the command in this process, as far as it comes before it serves."""
    done = CliRunner().invoke(
        app, ["console", f"--endpoint-url={stack.endpoint_url}", "--json", *options]
    )
    return done.exit_code, str(json.loads(done.stdout)["message"])


def test_what_it_cannot_do_is_said_before_it_serves(
    stack: MotoStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path))
    with listening(Place("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = said(stack, f"--port={port}")
    assert (code, f"another program listens on port {port}" in message) == (3, True)
    code, message = said(stack, "--host=203.0.113.7")
    assert (code, message.startswith("--host: ")) == (3, True)
    code, message = said(stack, "--stack=nix")
    assert (code, "nix" in message) == (3, True)
