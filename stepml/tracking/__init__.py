"""Trackers: callbacks that write the curves of runs for TensorBoard, MLflow and other programs.

::

    client.run(job, wait=True, callbacks=[TensorBoard("logs"), MLflow("http://127.0.0.1:5000")])
"""

from stepml.tracking.errors import TrackerError
from stepml.tracking.json_lines import JsonLines
from stepml.tracking.mlflow import MLflow
from stepml.tracking.tensorboard import TensorBoard
from stepml.tracking.tracker import RunLog, Tracker

__all__ = ["JsonLines", "MLflow", "RunLog", "TensorBoard", "Tracker", "TrackerError"]
