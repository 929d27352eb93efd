"""A job on a local AWS that is killed, lasts, and has the network of a cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepml.job import keys
from stepml.local.keeping.kept_executions import ERROR
from tests.faults.stack import deploy_faulty
from tests.functional.conftest import Reference
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import eventually, running_aws

NETWORK = """
[cold_start]
seconds = 0.3
[function]
bandwidth_mb_s = 50.0
[s3]
latency_ms = 5.0
bandwidth_mb_s = 20.0
"""
Plan = dict[str, Any]


def test_a_job_goes_on_after_a_kill_and_learns_the_same_bits(
    tmp_path: Path, job: Plan, undisturbed: Reference
) -> None:
    wanted = {**job, "exchange": {"channel": "s3"}}
    (tmp_path / "network.toml").write_text(NETWORK)
    more = [f"--keep={tmp_path / 'kept'}", f"--network={tmp_path / 'network.toml'}"]
    with running_aws(tmp_path, more=more) as aws:
        stack = deploy_faulty(aws, tmp_path)
        stack.upload("data/small.csv", csv_rows())
        running = stack.start(wanted, "lasting")
        eventually(lambda: stack.keys(keys.epoch_report("lasting", 1)), bool)
        aws.process.kill()
        aws.process.wait()

    with running_aws(tmp_path, more=more) as aws:
        stack = LocalStack(aws, stack.outputs)
        states = aws.client("stepfunctions")
        interrupted = states.describe_execution(executionArn=running)
        assert (interrupted["status"], interrupted["error"]) == ("FAILED", ERROR)
        eventually(lambda: stack.keys(keys.ended("lasting")), bool)  # it is cleaned up
        states.redrive_execution(executionArn=running)
        ended = aws.ended(running)
        assert ended["status"] == "SUCCEEDED", ended
        assert stack.read(keys.model("lasting")) == undisturbed(wanted)
