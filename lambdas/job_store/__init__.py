"""The objects of a job in the durable store: which key, which type, how long they stay."""

from lambdas.job_store.marks import Claim, MergedEpoch
from lambdas.job_store.plans import PartitionPlan, RangeSummary, TrainingPlan
from lambdas.job_store.store import JobStore

__all__ = ["Claim", "JobStore", "MergedEpoch", "PartitionPlan", "RangeSummary", "TrainingPlan"]
