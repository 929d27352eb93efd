"""Metrics of jobs for CloudWatch, which reads them from lines of the log.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
They need no request and no permission. Each metric costs money by the month, so there are few, and
their only dimension is the stack.
"""

from __future__ import annotations

import os
import time

from lambdas.logs import log
from stepml.job.json_logs import METRICS

NAMESPACE, DIMENSION = "StepML", "Stack"
STACK_VARIABLE = "STEPML_METRICS_STACK"  # set by templates/template.yaml; empty: no metrics
UNITS = {"EpochSeconds": "Seconds", "Loss": "None", "CostUsd": "None"}


def measure(job_id: str, **values: float) -> None:
    """Write a line with metrics, if the stack has a dashboard; names are those of `UNITS`."""
    stack = os.environ.get(STACK_VARIABLE)
    if stack:
        log("measured", job_id=job_id, **{DIMENSION: stack, METRICS: _declared(values)}, **values)


def _declared(names: dict[str, float]) -> dict[str, object]:
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in names]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics}
    return {"Timestamp": int(1000 * time.time()), "CloudWatchMetrics": [directive]}
