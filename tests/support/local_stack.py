"""A StepML deployed into a local AWS, and rows for its jobs."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from boto3.s3.transfer import TransferConfig

from tests.support.plain_choices import plain_job
from tests.support.running_aws import RunningAws


@dataclass(frozen=True)
class LocalStack:
    """A deployed StepML."""

    aws: RunningAws
    outputs: dict[str, str]

    @property
    def endpoint_url(self) -> str:
        return self.aws.endpoint_url

    @property
    def bucket(self) -> str:
        return self.outputs["Bucket"]

    def upload(self, key: str, data: bytes, in_parts: bool = False) -> str:
        parts = TransferConfig(multipart_threshold=1 if in_parts else len(data) + 1)
        self.aws.client("s3").upload_fileobj(io.BytesIO(data), self.bucket, key, Config=parts)
        return f"s3://{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        body = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"]
        return bytes(body.read())

    def keys(self, prefix: str) -> list[str]:
        listed = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]

    def start(self, job: Any, name: str | None = None, *, chooses: bool = False) -> str:
        """Start a job; unless StepML ``chooses`` what it leaves open, with the simplest values."""
        job = plain_job(job) if isinstance(job, dict) and not chooses else job
        return self.aws.start(
            self.outputs["TrainStateMachineArn"], job, name=name or f"job-{uuid.uuid4().hex[:8]}"
        )

    def run(self, job: Any, name: str | None = None, *, chooses: bool = False) -> dict[str, Any]:
        """Run a job to its end; return the execution's description with the parsed output."""
        ended = self.aws.ended(self.start(job, name, chooses=chooses))
        if "output" in ended:
            ended["report"] = json.loads(ended["output"])
        return ended

    def epochs(self, job_id: str) -> list[dict[str, Any]]:
        executions = self.aws.executions(self.outputs["EpochStateMachineArn"])
        return [each for each in executions if each["name"].startswith(f"{job_id}-e")]


def csv_rows(
    n_samples: int = 2000, n_features: int = 6, seed: int = 0, noise: float = 1.0
) -> bytes:
    """Return rows of two classes, separated by a line except for noise, ordered by label."""
    rng = np.random.default_rng(seed)
    X = rng.normal(5, 3, size=(n_samples, n_features))
    scores = (X - 5) @ np.linspace(1, -1, n_features) + rng.normal(scale=noise, size=n_samples)
    y = (scores > 0).astype(int)
    order = np.argsort(y, kind="stable")
    lines = [",".join([*(f"{v:.3f}" for v in X[i]), str(y[i])]) for i in order]
    header = ",".join([f"x{i}" for i in range(n_features)] + ["label"])
    return "\n".join([header, *lines, ""]).encode()


@contextmanager
def without(stack: LocalStack, key: str) -> Iterator[None]:
    """Remove an object until the block ends."""
    content = stack.read(key)
    stack.aws.client("s3").delete_object(Bucket=stack.bucket, Key=key)
    try:
        yield
    finally:
        stack.upload(key, content)
