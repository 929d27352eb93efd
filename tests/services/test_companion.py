"""A program beside the local AWS: started once, named, and ended with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stepml.local import companion, daemon
from stepml.local.processes import exists, has_ended
from stepml.local.running import LocalAwsError
from tests.support.running_aws import WAIT_S

SERVES = 'print(\'{"url": "http://127.0.0.1:1/"}\', flush=True); import time; time.sleep(1000)'
STARTS = f"""
import os, sys
from stepml.local import companion
found = companion.start([sys.executable, "-c", {SERVES!r}], with_parent=True)
print(found.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory."""
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path))
    return tmp_path


def program(text: str = SERVES) -> list[str]:
    return [sys.executable, "-c", text]


def test_it_is_started_once_and_ends_with_the_local_aws() -> None:
    started = companion.start(program(), with_parent=False)
    assert started.url == "http://127.0.0.1:1/"
    assert companion.running() == started
    assert companion.start(program(), with_parent=False) == started
    daemon.down()
    assert not exists(started.pid)
    assert companion.running() is None


def test_it_ends_with_a_command_that_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS], capture_output=True, text=True, check=False
    )
    assert has_ended(int(done.stdout), WAIT_S)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import sys; sys.exit('no port')", "no port"),
        ("print('{}')", "{}"),
        ("pass", "it has said nothing"),
    ],
)
def test_one_that_does_not_start_is_told_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(LocalAwsError, match=f"the console did not start: {reason}"):
        companion.start(program(text), with_parent=False)
    assert companion.running() is None


def test_another_process_with_its_id_is_left_alone(state: Path) -> None:
    with subprocess.Popen(program("input()"), stdin=subprocess.PIPE) as other:
        record = {"pid": other.pid, "url": "http://127.0.0.1:1/", "command": program()}
        (state / "console.json").write_text(json.dumps(record))
        assert companion.running() is None
        assert not companion.end()
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "[" * 100000])
def test_a_damaged_record_is_none(state: Path, text: str) -> None:
    (state / "console.json").write_text(text)
    assert companion.running() is None
