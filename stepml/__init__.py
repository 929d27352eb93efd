"""StepML: distributed machine-learning training that needs no servers."""

__version__ = "0.1.0"
