"""The modules that the local AWS loads once for all functions with the same code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from stepml.job.channels import CHANNELS
from stepml.local.functions.templates import is_of_template
from tests.support.paths import ROOT

RECORDS = """
import json, os

read = set()

class Recorded(os._Environ):
    def __getitem__(self, name):
        read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        read.add(name)
        return super().__contains__(name)

os.environ.__class__ = Recorded
import lambdas.preloaded
print(json.dumps(sorted(read)))
"""
# They decide only which libraries are loaded early.
OF_CHANNELS = {each.variable for each in CHANNELS.values()}
# Whether the process is one of Lambda, and the credentials of a client that sends nothing.
ON_LAMBDA = {"AWS_LAMBDA_RUNTIME_API", "AWS_ACCESS_KEY_ID"}


def test_no_module_reads_at_its_import_what_differs_between_functions() -> None:
    # A copy of the environment reads all of it, also what belongs to the person who runs the tests.
    inherited = {name: each for name, each in os.environ.items() if is_of_template(name)}
    recorded = subprocess.run(
        [sys.executable, "-c", RECORDS],
        env={**inherited, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    read = {*json.loads(recorded.stdout)}
    assert "AWS_ENDPOINT_URL" in read  # by boto3, so it is recorded
    assert {each for each in read if not is_of_template(each)} <= OF_CHANNELS | ON_LAMBDA
