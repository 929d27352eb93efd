"""Partition a file once and print the processor time it took: the program of `bench_partition`.

It runs in a checkout of its own, which may be an older one, so it uses nothing but the test support
of that checkout.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet  # noqa: F401 - whoever loads it first would pay for it

from tests.support.jobs import Job


def measure(path: Path, data: dict[str, Any]) -> dict[str, float]:
    """Return the processor time of Prepare, and of the range tasks with PlanShards."""
    about = {"uri": f"s3://data/{path.name}", "standardise": True, "ranges": 1} | data
    job = Job(data=about, model={"name": "linear_regression"}, algorithm={"name": "admm"})
    job.data.save(path.name, path.read_bytes())
    before_mb = _peak_mb()
    prepared = time.process_time()
    job.prepare()
    planned = time.process_time()
    job.partitioned()  # prepares once more, which is taken off
    seconds = time.process_time() - planned - (planned - prepared)
    return {"prepare_s": planned - prepared, "seconds": seconds, "peak_mb": _peak_mb() - before_mb}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), json.loads(sys.argv[2]))))
