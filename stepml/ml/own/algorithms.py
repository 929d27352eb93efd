"""The base of algorithms of the user's own.

::

    class FedProx(stepml.OwnAlgorithm):
        def __init__(self, mu=0.1, learning_rate=0.1):
            self.mu, self.learning_rate = mu, learning_rate

        def step(self, task, w, X, y):
            loss, gradient = task.gradient(w, X, y)
            gradient += self.mu * (w - task.start)
            w -= self.learning_rate * gradient
            return loss
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepml.ml.own.models import Array

Arrays = Mapping[str, Array]
Gradient = Callable[[Array, Any, Array], tuple[float, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """The circumstances of a step.

    Attributes
    ----------
    gradient : callable
        Returns mean loss and gradient at parameters on rows: ``gradient(w, X, y)``. The gradient
        has that of the penalty ``l2``.
    start : array of shape (n_parameters,)
        The common parameters with which the epoch began. They cannot be changed.
    shared : mapping of str to array
        The arrays of `OwnAlgorithm.shared`; they cannot be changed.
    arrays : mapping of str to array
        The rank's arrays of `OwnAlgorithm.arrays`; steps may change them in place.
    epoch, rank : int
        From 1, and from 0.
    world_size : int
    step, n_steps : int
        The number of the step in the rank's epoch, from 1, and of all of them.
    rng : numpy.random.Generator
        The same in each repetition of the step.
    """

    gradient: Gradient
    start: Array
    shared: Arrays
    arrays: Arrays
    epoch: int
    rank: int
    world_size: int
    step: int
    n_steps: int
    rng: np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """The circumstances in which the results of all ranks are merged.

    Attributes
    ----------
    before : array of shape (n_parameters,)
        The common parameters with which the epoch began. They cannot be changed.
    means : mapping of str to array
        The mean over the ranks of each array in `OwnAlgorithm.averaged`.
    shared : mapping of str to array
        The arrays of `OwnAlgorithm.shared`, which may be changed in place.
    epoch : int
        From 1.
    world_size : int
    """

    before: Array
    means: Arrays
    shared: Arrays
    epoch: int
    world_size: int


class OwnAlgorithm(ABC):
    """Steps of each rank on its batches, and the merging of the ranks' results once an epoch.

    Every rank begins an epoch with the common parameters and makes a step on each of its batches.
    The mean of the ranks' parameters, weighted by rows, is merged into the next common ones.
    StepML draws the batches, and may stop between two steps and resume in another process: what a
    step needs of earlier ones must be in the parameters and arrays. All arrays are float32, but
    for those of `arrays` and `shared`, which have the types that they are given.

    Attributes
    ----------
    averaged : tuple of str
        Names of a rank's arrays, float32, whose means `merge` needs.
    lasting : bool
        A rank's arrays last from epoch to epoch; the same as ``algorithm.lasting`` in the job.
        Otherwise each epoch begins with new ones.
    """

    averaged: ClassVar[tuple[str, ...]] = ()
    lasting: ClassVar[bool] = False

    @abstractmethod
    def step(self, task: Task, w: Array, X: Any, y: Array) -> float:
        """Make a step on a batch: change ``w`` in place, and return the mean loss before the step.

        Parameters
        ----------
        task : Task
        w : array of shape (n_parameters,)
            The rank's parameters.
        X : rows of shape (n_samples, n_features)
            For `Task.gradient`. They are float32, or sparse rows of StepML's; nor can they be
            changed, as ``y``.
        y : array of shape (n_samples, …)
            Their targets; with ``data.weight`` records, whose fields are ``target`` and ``weight``.
        """

    def merge(self, task: Merge, mean: Array) -> Array:
        """Return the next common parameters; default: the ``mean`` of the ranks' parameters.

        Parameters
        ----------
        task : Merge
        mean : array of shape (n_parameters,)
            Weighted by the rows of the ranks.
        """
        return mean

    def arrays(self, n_parameters: int) -> Arrays:
        """Return the arrays of a rank, in addition to parameters, at the start of an epoch."""
        return {}

    def shared(self, n_parameters: int) -> Arrays:
        """Return the arrays that all ranks share, which `merge` changes, before the first epoch."""
        return {}
