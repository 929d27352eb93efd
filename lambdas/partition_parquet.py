"""Parses one range of parquet data: a function of its own, whose package has pyarrow."""

from __future__ import annotations

from lambdas.documents import Documents
from lambdas.entry import handles
from lambdas.environment import LambdaContext, bucket, durable
from lambdas.partition import partition
from lambdas.plans import PartitionPlan
from stepml.job import keys
from stepml.job.tasks import PartitionTask


@handles(PartitionTask)
def handler(task: PartitionTask, context: LambdaContext) -> None:
    plan = Documents(durable()).load(keys.partition_plan(task.job_id), PartitionPlan)
    partition(task, plan, source=bucket(plan.bucket), storage=durable())
