"""``stepml local``: what it shows, and that it ends no running job unasked."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepml.local import daemon
from stepml.local.record import ServerRecord
from tests.services.test_daemon import port, warm_function
from tests.support.running_aws import ROLE, WAIT_S, RunningAws, eventually, only

__all__ = ["port"]  # the fixture

STEPML = [sys.executable, "-m", "stepml"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STEPML, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def answered(answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal and type an answer; return its exit code and its output."""
    terminal, its_side = pty.openpty()
    try:
        process = subprocess.Popen(
            [*STEPML, *arguments], stdin=its_side, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        os.write(terminal, answer.encode())
        output, _ = process.communicate(timeout=WAIT_S)
    finally:
        os.close(terminal)
        os.close(its_side)
    return process.returncode, output.decode()


def start_job(aws: RunningAws, names: Sequence[str]) -> None:
    """Deploy a stack whose jobs wait for an hour, and start some."""
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": "endless",
            "RoleArn": ROLE,
            "DefinitionString": json.dumps(only({"Type": "Wait", "Seconds": 3600, "End": True})),
        },
    }
    template: dict[str, Any] = {
        "Resources": {"Machine": machine},
        "Outputs": {
            "Bucket": {"Value": "bucket"},
            "TrainStateMachineArn": {"Value": {"Ref": "Machine"}},
            "EpochStateMachineArn": {"Value": {"Ref": "Machine"}},
        },
    }
    stacks = aws.client("cloudformation")
    stacks.create_stack(StackName="endless", TemplateBody=json.dumps(template))
    (stack,) = stacks.describe_stacks(StackName="endless")["Stacks"]
    for name in names:
        aws.start(stack["Outputs"][1]["OutputValue"], name=name)


def test_the_end_of_running_jobs_is_asked_for(port: int) -> None:
    started = daemon.up(port=port)
    start_job(RunningAws(started.endpoint_url, process=None), "abcd")  # type: ignore[arg-type]
    loss = "4 jobs are running on the local AWS and would be lost: "

    refused = command("local", "down")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"JobsRunningError: {loss}")
    assert refused.stderr.endswith(", …; end it all the same with: stepml local down --yes\n")
    document = json.loads(command("local", "down", "--json").stdout)
    assert document["error"] == "JobsRunningError"
    for answer in ("\n", "n\n", "\x04"):
        code, output = answered(answer, "local", "down")
        assert (code, "End it all the same? [y/N]" in output) == (2, True), output
        assert output.rstrip().endswith("nothing was ended")
    os.kill(started.pid, signal.SIGSTOP)
    assert "its running jobs are unknown" in command("local", "down").stderr
    os.kill(started.pid, signal.SIGCONT)
    running = daemon.status()
    assert running is not None
    assert running.pid == started.pid

    code, output = answered("y\n", "local", "down")
    assert (code, output.splitlines()[-1]) == (0, "End it all the same? [y/N]: ended")
    assert daemon.status() is None


def test_yes_ends_running_jobs_without_a_question(port: int) -> None:
    started = daemon.up(port=port)
    start_job(RunningAws(started.endpoint_url, process=None), "a")  # type: ignore[arg-type]
    ended = command("local", "down", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "ended\n")
    assert daemon.status() is None


def test_a_watched_job_is_lost_with_its_local_aws(port: int) -> None:
    started = daemon.up(port=port)
    start_job(RunningAws(started.endpoint_url, process=None), "a")  # type: ignore[arg-type]
    watch = [*STEPML, "watch", "a", "--stack", "endless", "--endpoint-url", started.endpoint_url]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(watch, **options) as first, subprocess.Popen(watch, **options) as second:
        for watcher in (first, second):
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == "a\n"
        second.send_signal(signal.SIGSTOP)  # it sees only the next local AWS
        daemon.down()
        ends = [first.communicate(timeout=WAIT_S)]
        daemon.up(port=port)
        second.send_signal(signal.SIGCONT)
        ends.append(second.communicate(timeout=WAIT_S))

    for _, stderr in ends:
        assert stderr == (
            f"LocalAwsEndedError: the local AWS at {started.endpoint_url} has ended, and a is lost "
            "with it; start both again: stepml local up, stepml run JOB.json\n"
        )
    assert (first.returncode, second.returncode) == (3, 3)


def test_the_first_ctrl_c_in_the_foreground_ends_no_running_job(port: int) -> None:
    up = [*STEPML, "local", "up", "--foreground", "--port", str(port)]
    with subprocess.Popen(up, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as foreground:
        started = eventually(daemon.status, lambda seen: seen is not None)
        start_job(RunningAws(started.endpoint_url, process=None), "a")  # type: ignore[arg-type]
        assert foreground.stderr is not None
        foreground.send_signal(signal.SIGINT)
        assert foreground.stderr.readline().decode() == (
            "1 job is running on the local AWS and would be lost: a; "
            "press Ctrl-C again to end it all the same\n"
        )
        assert daemon.status() is not None
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(WAIT_S) == 0
    assert daemon.status() is None


def test_the_status_counts_processes_and_lists_them_on_demand(
    aws: RunningAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path))
    at = int(aws.endpoint_url.rpartition(":")[2])
    ServerRecord(aws.process.pid, at, aws.status()["id"]).write()
    warm_function(aws.endpoint_url)

    counted = command("local", "status").stdout
    listed = command("local", "status", "--all").stdout

    assert re.search(r"function +starting +busy +idle", counted)
    row = re.search(r"^ *app-probe +(\d.*)$", counted, re.M)
    assert row is not None
    pids = re.findall(r"^ *app-probe +(\d+) +(?:idle|busy)", listed, re.M)
    assert sum(map(int, row[1].split())) == len(pids) >= 1
    assert all(len(line) <= 80 for line in counted.splitlines() if "log " not in line)
