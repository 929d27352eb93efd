"""The jobs under faults: small, but with several batches, ranks and epochs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from stepml.job.channels import CHANNELS, PATTERNS
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job

WORKERS = 3
EPOCHS = 3  # the first, the last, and one between: more have no other places

LOGISTIC = {"name": "logistic_regression"}
# With random draws in training; the second one also with statistics of batches.
DROPPING = {"name": "neural", "network": {"name": "mlp", "hidden": [8], "dropout": 0.2}}
NORMALISING = {
    "name": "neural",
    "network": {"name": "mobilenet", "width": 0.1, "depth": 0},
    "input_shape": [1, 2, 2],
    "augment": {"flip": True},
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "model_averaging": {
        "model": LOGISTIC,
        "algorithm": {"name": "model_averaging", "learning_rate": 0.5, "batch_size": 25},
    },
    "admm": {
        "model": LOGISTIC,
        "algorithm": {
            "name": "admm",
            "local_iterations": 5,
            "absolute_tolerance": 0,
            "relative_tolerance": 0,
        },
    },
    "expectation_maximisation": {
        "model": {"name": "kmeans", "n_clusters": 6},
        "algorithm": {"name": "expectation_maximisation"},
    },
    "gradient_averaging": {
        "model": LOGISTIC,
        "algorithm": {
            "name": "gradient_averaging",
            "learning_rate": 0.1,
            "batch_size": 30,
            "optimiser": "adam",
        },
    },
}
NETWORKS: dict[str, dict[str, Any]] = {
    "network_gradients": {
        "model": NORMALISING,
        "algorithm": {
            "name": "gradient_averaging",
            "learning_rate": 0.01,
            "batch_size": 30,
            "optimiser": "adam",
        },
    },
    "network_models": {
        "model": DROPPING,
        "algorithm": {"name": "model_averaging", "learning_rate": 0.1, "batch_size": 25},
    },
}
if find_spec("torch"):
    ALGORITHMS |= NETWORKS

_SHORT = {"reduce": "r", "reduce_scatter": "rs", "async": "async"}


@dataclass(frozen=True)
class Setting:
    """One algorithm, with its model, on one channel, in one pattern."""

    algorithm: str
    channel: str
    pattern: str

    @property
    def name(self) -> str:
        """The prefix of its jobs' names."""
        return f"{self.algorithm}-{self.channel}-{_SHORT[self.pattern]}".replace("_", "-")

    @property
    def in_flight(self) -> bool:
        """Whether ranks wait for each other within an epoch."""
        name = ALGORITHMS[self.algorithm]["algorithm"]["name"]
        return name == "gradient_averaging" and self.has_fixed_bits

    @property
    def has_fixed_bits(self) -> bool:
        """Whether the order in which ranks work changes nothing."""
        return self.pattern != "async"

    def job(self, uri: str, epochs: int = EPOCHS, **options: Any) -> dict[str, Any]:
        """Return a job that trains on the rows at ``uri``; ``options`` are the algorithm's."""
        chosen = ALGORITHMS[self.algorithm]
        return {
            "data": {"uri": uri, "format": "csv", "label": "label", "standardise": True},
            "workers": WORKERS,
            "model": chosen["model"],
            "algorithm": chosen["algorithm"] | options,
            "exchange": {"channel": self.channel, "pattern": self.pattern},
            "stop": {"max_epochs": epochs},
        }


SETTINGS = [
    Setting("model_averaging", "s3", "reduce"),
    Setting("model_averaging", "redis", "reduce_scatter"),
    Setting("admm", "s3", "reduce_scatter"),
    Setting("admm", "redis", "reduce"),
    Setting("expectation_maximisation", "s3", "reduce"),
    Setting("expectation_maximisation", "redis", "reduce_scatter"),
    Setting("gradient_averaging", "s3", "reduce"),
    Setting("gradient_averaging", "redis", "reduce_scatter"),
]


# Of networks: some placements, beside all of the settings above.
NETWORK_SETTINGS = [
    Setting("network_gradients", "redis", "reduce_scatter"),
    Setting("network_models", "s3", "reduce"),
]


def number_of(setting: Setting) -> int:
    """Return the place of ``setting`` among all, those of `SETTINGS` first."""
    return [*dict.fromkeys([*SETTINGS, *all_settings()])].index(setting)


def all_settings() -> list[Setting]:
    """Return every algorithm on every channel, in every pattern, that the product accepts."""
    every = [
        Setting(algorithm, channel, pattern)
        for algorithm in ALGORITHMS
        for channel in CHANNELS
        for pattern in PATTERNS
    ]
    return [setting for setting in every if _is_valid(setting)]


def _is_valid(setting: Setting) -> bool:
    try:
        parse_job(setting.job("s3://bucket/rows.csv"))
    except InvalidJobError:
        return False
    return True
