"""Words of other libraries for fields of a job, and for values of fields."""

from __future__ import annotations

# The field, by its path, that each name stands for elsewhere.
FIELDS: dict[str, str] = {
    **dict.fromkeys(
        ("n_jobs", "num_workers", "world_size", "parallelism", "n_ranks", "processes"), "workers"
    ),
    **dict.fromkeys(("path", "file", "source", "location", "dataset", "s3_uri"), "data.uri"),
    **dict.fromkeys(("target", "y", "target_column", "label_column"), "data.label"),
    **dict.fromkeys(("sep", "separator"), "data.delimiter"),
    **dict.fromkeys(
        ("test_size", "test_fraction", "validation_split", "val_split", "holdout"),
        "data.validation_fraction",
    ),
    **dict.fromkeys(("random_state", "random_seed"), "data.seed"),
    **dict.fromkeys(("normalize", "normalise", "scaler"), "data.scale"),
    **dict.fromkeys(("architecture", "net"), "model.network"),
    **dict.fromkeys(("k", "n_centers", "n_centroids"), "model.n_clusters"),
    **dict.fromkeys(("eta", "step_size", "alpha"), "algorithm.learning_rate"),
    **dict.fromkeys(("batch", "minibatch_size"), "algorithm.batch_size"),
    **dict.fromkeys(("backend", "storage", "store", "transport"), "exchange.channel"),
    **dict.fromkeys(("sync", "sync_mode", "topology", "protocol"), "exchange.pattern"),
    **dict.fromkeys(("staleness", "ssp"), "exchange.max_staleness"),
    **dict.fromkeys(
        ("epochs", "n_epochs", "num_epochs", "max_iter", "iterations", "n_iter"), "stop.max_epochs"
    ),
    "tol": "stop.tolerance",
    **dict.fromkeys(("early_stopping", "n_iter_no_change"), "stop.patience"),
    **dict.fromkeys(("budget", "max_cost", "cost"), "stop.max_cost_usd"),
    **dict.fromkeys(("timeout", "time_limit", "max_time", "deadline"), "stop.max_seconds"),
    **dict.fromkeys(("resume", "checkpoint", "warm_start"), "resume_from"),
}

# What is no field, and where it is instead.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        ("comment", "comments", "_comment", "description", "notes", "//"),
        "a job has no comments; leave it out",
    ),
    **dict.fromkeys(("name", "job_name", "run_name"), "a run's name is that of its execution"),
    **dict.fromkeys(("memory", "memory_mb", "executor_memory"), "that is a parameter of the stack"),
    "bucket": "data.uri has it: s3://bucket/key",
}

VALUES: dict[str, str] = {
    **dict.fromkeys(("fp16", "half", "f16"), "float16"),
    **dict.fromkeys(("fp32", "float32"), "none"),
    **dict.fromkeys(("onehot", "dummy", "dummies"), "one_hot"),
    **dict.fromkeys(("label", "integer"), "ordinal"),
    **dict.fromkeys(("int", "float", "numeric", "double"), "number"),
    **dict.fromkeys(("str", "string", "text", "categorical", "object"), "category"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("date", "datetime", "timestamp"), "time"),
    **dict.fromkeys(("avg", "average"), "mean"),
    **dict.fromkeys(("mode",), "most_frequent"),
    **dict.fromkeys(("minmax", "min-max"), "min_max"),
    **dict.fromkeys(("zscore", "z-score", "standard"), "standardise"),
    **dict.fromkeys(("drop", "ignore"), "skip"),
    **dict.fromkeys(("raise", "error"), "fail"),
}
