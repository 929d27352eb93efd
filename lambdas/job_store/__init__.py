"""The objects of a job in the durable store: which key, which type, how long they stay."""

from lambdas.job_store.plans import Claim, MergedEpoch, PartitionPlan, RangeSummary, TrainingPlan
from lambdas.job_store.store import JobStore

__all__ = ["Claim", "JobStore", "MergedEpoch", "PartitionPlan", "RangeSummary", "TrainingPlan"]
