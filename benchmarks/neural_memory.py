"""Peaks of the functions of whole jobs, for `benchmarks.bench_neural`: ResNet-50 on every channel.

Beside them stands the peak of torch's own training, a process with the same batches and optimiser.

Each job has a deployment of its own in a local AWS, whose functions report their memory as on AWS.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.neural_processes import output_of
from stepml.packaging.functions import log_group
from tests.support.deployment import deploy
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT
from tests.support.running_aws import RunningAws, running_aws

ROWS, SIDE, BATCH_SIZE, EPOCHS = 20, 32, 4, 2
FUNCTIONS = ("executor-torch", "reducer", "merger")
MOST_MB = 3008
MOST_COPIES = 3  # of the parameters, in an executor beside what torch itself needs
MOST_VECTORS = 8  # of a reducer: state with moments, as it was loaded and as it is written
_PLAIN = f"""
import torch
from benchmarks.neural_processes import peak_kb
from stepml.job import networks
from stepml.ml.neural.networks import build_network
torch.set_num_threads(1)
module = build_network(networks.Resnet50(), (3, {SIDE}, {SIDE}), 2)
optimiser = torch.optim.SGD(module.parameters(), lr=1e-4, momentum=0.9)
for _ in range({EPOCHS}):
    optimiser.zero_grad()
    outputs = module(torch.rand({BATCH_SIZE}, 3, {SIDE}, {SIDE}))
    torch.nn.functional.cross_entropy(outputs, torch.zeros({BATCH_SIZE}).long()).backward()
    optimiser.step()
print(peak_kb())
"""
# Channel, pattern and algorithm.
JOBS = (
    ("redis", "reduce", "gradient_averaging"),
    ("redis", "reduce_scatter", "gradient_averaging"),
    ("s3", "reduce", "gradient_averaging"),
    ("memcached", "reduce_scatter", "gradient_averaging"),
    ("dynamodb", "reduce", "gradient_averaging"),
    ("parameter_server", "reduce", "gradient_averaging"),
    ("redis", "reduce", "model_averaging"),
    ("s3", "reduce_scatter", "model_averaging"),
    ("parameter_server", "reduce", "model_averaging"),
)


@dataclass(frozen=True, slots=True)
class JobPeaks:
    """The most memory of each function of a job, in MB."""

    channel: str
    pattern: str
    algorithm: str
    status: str
    vector_mb: float
    torch_mb: float
    peaks_mb: dict[str, int]

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        name = f"{self.algorithm} over {self.channel}, {self.pattern}"
        if self.status != "SUCCEEDED":
            return [f"{name}: the job is {self.status}"]
        found = []
        if self.peaks_mb["executor-torch"] >= MOST_MB:
            found.append(f"{name}: the executor has {MOST_MB} MB, too few")
        copies = (self.peaks_mb["executor-torch"] - self.torch_mb) / self.vector_mb
        if copies > MOST_COPIES:
            found.append(f"{name}: torch's peak + {copies:.1f} × parameters, target ≤ 3")
        most_mb = 100 + MOST_VECTORS * self.vector_mb
        if self.peaks_mb["reducer"] > most_mb:
            found.append(f"{name}: the reducer takes more than {most_mb:.0f} MB")
        return found

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        columns = " ".join(f"{name:>14}" for name in (*FUNCTIONS, "torch alone"))
        return f"{'ResNet-50, MB':52} {columns}"

    def row(self) -> str:
        """Return the figures as a line of the table."""
        name = f"{self.algorithm} {self.channel} {self.pattern}"
        peaks = " ".join(f"{self.peaks_mb.get(each, ''):>14}" for each in FUNCTIONS)
        return f"{name:52} {peaks} {self.torch_mb:14.0f}"


def job_peaks() -> Iterator[JobPeaks]:
    """Run the jobs, one after another."""
    torch_mb = float(output_of("-c", _PLAIN)) / 1024
    with tempfile.TemporaryDirectory() as state, running_aws(Path(state)) as aws:
        for number, (channel, pattern, algorithm) in enumerate(JOBS):
            stack_name = f"memory{number}"
            template = ROOT / "templates" / "template.yaml"
            outputs = deploy(
                aws.endpoint_url, template, stack_name=stack_name, parameters=aws.parameters
            )
            stack = LocalStack(aws, outputs)
            uri = stack.upload("data/images.npz", _images())
            ended = stack.run(_job(uri, channel, pattern, algorithm))
            vector_mb = 23.5e6 * 4 / 2**20  # of two classes
            peaks = {name: _peak(aws, log_group(stack_name, name)) for name in FUNCTIONS}
            found = {name: peak for name, peak in peaks.items() if peak}
            yield JobPeaks(channel, pattern, algorithm, ended["status"], vector_mb, torch_mb, found)


def _job(uri: str, channel: str, pattern: str, algorithm: str) -> dict[str, Any]:
    return {
        "data": {"uri": uri, "format": "npz"},
        "workers": 2,
        "model": {"name": "neural", "network": "resnet50"},
        "algorithm": {
            "name": algorithm,
            "optimiser": "sgd",
            "momentum": 0.9,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "batch_size": BATCH_SIZE,
        },
        "exchange": {"channel": channel, "pattern": pattern},
        "stop": {"max_epochs": EPOCHS},
    }


def _images() -> bytes:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    X = rng.integers(0, 256, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    np.savez(file, X=X, y=np.arange(ROWS) % 2)
    return file.getvalue()


def _peak(aws: RunningAws, group: str) -> int:
    """Return the most memory of a function, by its log group."""
    logs, peaks = aws.client("logs"), [0]
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        events = logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
        reports = (re.search(r"Max Memory Used: (\d+) MB", each["message"]) for each in events)
        peaks += [int(found[1]) for found in reports if found]
    return max(peaks)
