"""Random changes of images in training.

The changes of an image follow from the seed, the pass over the rows, and the image's position among
all training rows. So they depend neither on batches nor on the ranks, nor on a retry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from stepml.job.networks import Augmentation
from stepml.ml.data.row_ids import mixed

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # between the numbers of splitmix64 (Steele et al., 2014)
_BITS = np.uint64(24)  # of a draw
_MASK = np.uint64((1 << 24) - 1)
_ACROSS = np.uint64(40)


class Changes(NamedTuple):
    """The changes of some images."""

    down: npt.NDArray[np.int64]  # (n,) first row of the part that is cut out, 0 to 2 · crop
    across: npt.NDArray[np.int64]  # (n,) its first column
    is_mirrored: npt.NDArray[np.bool_]  # (n,)


def draw_changes(spec: Augmentation, path: Sequence[int], first: int, n: int) -> Changes:
    """Return the changes of ``n`` images.

    Parameters
    ----------
    spec : Augmentation
    path : sequence of int
        Names the pass: seed, epoch, and so on.
    first : int
        Position of the first image among all training rows.
    n : int
    """
    salt = np.random.SeedSequence(path).generate_state(1, np.uint64)
    bits = mixed(np.arange(first, first + n, dtype=np.uint64) * _GOLDEN + salt)
    places = np.uint64(2 * spec.crop + 1)
    down = ((bits >> _BITS) & _MASK) * places >> _BITS
    across = (bits >> _ACROSS) * places >> _BITS
    is_mirrored = (bits & np.uint64(1)).astype(np.bool_)
    return Changes(down.astype(np.int64), across.astype(np.int64), is_mirrored & spec.flip)


def augmented(x: torch.Tensor, spec: Augmentation, path: Sequence[int], first: int) -> torch.Tensor:
    """Return images (n, channels, height, width) with their changes.

    An image is cut out of one with ``spec.crop`` more pixels on each side, which are 0: the mean.
    Other parameters are those of `draw_changes`.
    """
    changes = draw_changes(spec, path, first, len(x))
    if spec.flip:
        is_mirrored = torch.from_numpy(changes.is_mirrored)
        x = torch.where(is_mirrored.reshape(-1, 1, 1, 1), x.flip(3), x)
    if not spec.crop:
        return x
    height, width = x.shape[2:]
    padded = functional.pad(x, (spec.crop,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, across = torch.from_numpy(changes.down), torch.from_numpy(changes.across)
    return windows[torch.arange(len(x)), :, down, across]
