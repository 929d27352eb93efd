"""StepML: distributed machine-learning training that needs no servers.

::

    run = stepml.Client().run("job.json", wait=True)
    run.epochs.to_frame()
    run.predict(X)

    model = stepml.load_model("runs/my-run")
"""

from __future__ import annotations

# The command handles Ctrl-C once this package is imported, so `typing` would take too long.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stepml.client.callbacks import Callback
    from stepml.client.client import Client
    from stepml.client.run import Run
    from stepml.estimators import StepMLClassifier, StepMLKMeans, StepMLRegressor
    from stepml.job.algorithms import (
        Admm,
        ExpectationMaximisation,
        GradientAveraging,
        LeastSquares,
        ModelAveraging,
    )
    from stepml.job.columns import Columns
    from stepml.job.data import Data, Validation
    from stepml.job.errors import InvalidCodeError, InvalidJobError, StepMLError
    from stepml.job.models import (
        KMeans,
        LinearRegression,
        LogisticRegression,
        Neural,
        SoftmaxRegression,
        Svm,
    )
    from stepml.job.networks import Augmentation, Mlp, Mobilenet, Resnet18, Resnet50
    from stepml.job.own_code import CustomAlgorithm, CustomModel
    from stepml.job.spec import Exchange, ResumeFrom, Stop
    from stepml.job.spec import JobSpec as Job
    from stepml.ml.own.algorithms import Merge, OwnAlgorithm, Task
    from stepml.ml.own.models import OwnLinearModel, OwnModel
    from stepml.model_loading import load_model
    from stepml.records.errors import (
        AccessError,
        ExecutionNotFoundError,
        InvalidArgumentError,
        RetryRefusedError,
        RunFailedError,
        RunNameTakenError,
        UploadRefusedError,
    )
    from stepml.trained_model import TrainedModel

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "Admm",
    "Augmentation",
    "Callback",
    "Client",
    "Columns",
    "CustomAlgorithm",
    "CustomModel",
    "Data",
    "Exchange",
    "ExecutionNotFoundError",
    "ExpectationMaximisation",
    "GradientAveraging",
    "InvalidArgumentError",
    "InvalidCodeError",
    "InvalidJobError",
    "Job",
    "KMeans",
    "LeastSquares",
    "LinearRegression",
    "LogisticRegression",
    "Merge",
    "Mlp",
    "Mobilenet",
    "ModelAveraging",
    "Neural",
    "OwnAlgorithm",
    "OwnLinearModel",
    "OwnModel",
    "Resnet18",
    "Resnet50",
    "ResumeFrom",
    "RetryRefusedError",
    "Run",
    "RunFailedError",
    "RunNameTakenError",
    "SoftmaxRegression",
    "StepMLClassifier",
    "StepMLError",
    "StepMLKMeans",
    "StepMLRegressor",
    "Stop",
    "Svm",
    "Task",
    "TrainedModel",
    "UploadRefusedError",
    "Validation",
    "__version__",
    "load_model",
]

# The modules of the names above, which are imported at their first use: functions import this
# package, too, and some do not need NumPy.
_MODULES = {
    "stepml.client.callbacks": ("Callback",),
    "stepml.client.client": ("Client",),
    "stepml.client.run": ("Run",),
    "stepml.estimators": ("StepMLClassifier", "StepMLKMeans", "StepMLRegressor"),
    "stepml.job.algorithms": (
        "Admm",
        "ExpectationMaximisation",
        "GradientAveraging",
        "LeastSquares",
        "ModelAveraging",
    ),
    "stepml.job.columns": ("Columns",),
    "stepml.job.own_code": ("CustomAlgorithm", "CustomModel"),
    "stepml.job.data": ("Data", "Validation"),
    "stepml.job.errors": ("InvalidCodeError", "InvalidJobError", "StepMLError"),
    "stepml.job.models": (
        "KMeans",
        "LinearRegression",
        "LogisticRegression",
        "Neural",
        "SoftmaxRegression",
        "Svm",
    ),
    "stepml.job.networks": ("Augmentation", "Mlp", "Mobilenet", "Resnet18", "Resnet50"),
    "stepml.job.spec": ("Exchange", "JobSpec", "ResumeFrom", "Stop"),
    "stepml.ml.own.algorithms": ("Merge", "OwnAlgorithm", "Task"),
    "stepml.ml.own.models": ("OwnLinearModel", "OwnModel"),
    "stepml.model_loading": ("load_model",),
    "stepml.records.errors": (
        "AccessError",
        "ExecutionNotFoundError",
        "InvalidArgumentError",
        "RetryRefusedError",
        "RunFailedError",
        "RunNameTakenError",
        "UploadRefusedError",
    ),
    "stepml.trained_model": ("TrainedModel",),
}
# These check their arguments when a program builds a job.
_TYPES_OF_JOBS = {
    f"stepml.job.{each}"
    for each in ("algorithms", "columns", "data", "models", "networks", "own_code", "spec")
}
_OTHER_NAMES = {"Job": "JobSpec"}  # in their modules


def __getattr__(name: str) -> Any:
    place = _OTHER_NAMES.get(name, name)
    module = next((each for each, names in _MODULES.items() if place in names), None)
    if module is None or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(module), place)
    if module in _TYPES_OF_JOBS:
        from stepml.job.building import builder

        found = builder(found, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
