"""The networks of a job spec; `stepml.ml.neural` builds them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from stepml.job.errors import InvalidJobError
from stepml.job.spec_base import SpecGroup, tag

_CHANNELS = (1, 3, 4)  # usual numbers
_LEAST_PIXELS = 2  # of a side

# For fine-tuning: neither a network nor its optimiser's state depends on them.
FREE_FIELDS = (
    "algorithm.learning_rate",
    "algorithm.schedule",
    "algorithm.decay",
    "algorithm.warmup_epochs",
    "algorithm.weight_decay",
    "algorithm.clip_norm",
    "algorithm.batch_size",
    "algorithm.accumulate",
    "algorithm.local_epochs",
    "model.label_smoothing",
    "model.augment",
    "model.weights",
    "model.reset",
)
Units = Annotated[int, Meta(ge=1, le=100_000)]
Dropout = Annotated[
    Annotated[float, Meta(ge=0, lt=1)],
    Meta(description="share of the values before the last layer that a step leaves out"),
]


class Augmentation(SpecGroup, frozen=True, kw_only=True):
    """Random changes of images in training, drawn anew in every pass over the rows."""

    crop: Annotated[
        Annotated[int, Meta(ge=0, le=1000)],
        Meta(description="pixels by which an image moves at most, in each direction"),
    ] = 0
    flip: Annotated[bool, Meta(description="half of the images are mirrored, left to right")] = (
        False
    )

    def check(self, input_shape: Sequence[int]) -> None:
        """Raise `InvalidJobError` if rows of this shape cannot be changed so."""
        if len(input_shape) < 2:
            raise InvalidJobError(
                f"model.augment: changes images; with model.input_shape {list(input_shape)} "
                "expected null, got an object"
            )
        if self.crop >= min(input_shape[-2:]):
            raise InvalidJobError(
                f"model.augment.crop: expected less than {min(input_shape[-2:])}, a side of the "
                f"images, got {self.crop}"
            )


class _Network(SpecGroup, frozen=True, kw_only=True):
    """Base of the networks."""

    takes_images: ClassVar[bool] = False

    def check(self, input_shape: Sequence[int]) -> None:
        """Raise `InvalidJobError` if the network does not take rows of this shape."""
        if not self.takes_images:
            return
        name = tag(self)
        if len(input_shape) < 2:
            raise InvalidJobError(
                f"model.input_shape: network {name!r} takes images; expected [height, width] or "
                f"[channels, height, width], got {list(input_shape)}"
            )
        if min(input_shape[-2:]) < _LEAST_PIXELS:
            raise InvalidJobError(
                f"model.input_shape: network {name!r} takes images of at least {_LEAST_PIXELS} × "
                f"{_LEAST_PIXELS} pixels, got {list(input_shape)}"
            )


class Mlp(_Network, frozen=True, kw_only=True, tag_field="name", tag="mlp"):
    """Fully connected layers (multilayer perceptron)."""

    hidden: Annotated[
        Annotated[tuple[Units, ...], Meta(max_length=50)],
        Meta(description="units of each hidden layer"),
    ] = (256, 128)
    activation: Annotated[
        Literal["relu", "gelu", "tanh"], Meta(description="the function after each hidden layer")
    ] = "relu"
    dropout: Dropout = 0.0


class Mobilenet(_Network, frozen=True, kw_only=True, tag_field="name", tag="mobilenet"):
    """Depthwise separable convolutions (MobileNet, Howard et al., 2017)."""

    takes_images: ClassVar[bool] = True

    width: Annotated[
        Annotated[float, Meta(ge=0.1, le=4)], Meta(description="factor of all channels")
    ] = 1.0
    depth: Annotated[
        Annotated[int, Meta(ge=0, le=50)],
        Meta(description="blocks of 512 channels that keep the size"),
    ] = 5
    dropout: Dropout = 0.0


class _Resnet(_Network, frozen=True, kw_only=True):
    takes_images: ClassVar[bool] = True

    width: Annotated[
        Annotated[int, Meta(ge=4, le=512)], Meta(description="channels of the first stage")
    ] = 64


class Resnet18(_Resnet, frozen=True, kw_only=True, tag_field="name", tag="resnet18"):
    """Residual network of 18 layers (He et al., 2016)."""


class Resnet50(_Resnet, frozen=True, kw_only=True, tag_field="name", tag="resnet50"):
    """Residual network of 50 layers (He et al., 2016)."""


def shape_of_rows(n_features: int, row_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of rows as the data have them.

    Raises
    ------
    InvalidJobError
        The last of three sizes looks like the number of channels.
    """
    channels_are_last = len(row_shape) == 3 and row_shape[2] in _CHANNELS
    if channels_are_last and row_shape[0] not in _CHANNELS:
        raise InvalidJobError(
            "model.input_shape: images are [channels, height, width], but rows have the shape "
            f"{list(row_shape)}: write X.transpose(0, 3, 1, 2), or set {list(row_shape)} if there "
            f"are {row_shape[0]} channels; got null"
        )
    return tuple(row_shape) or (n_features,)


def require_shape(asked: Sequence[int], n_features: int, row_shape: Sequence[int]) -> None:
    """Raise `InvalidJobError` unless rows have the shape ``asked``.

    Rows that are no images, whose ``row_shape`` is empty, have any shape of ``n_features`` values.
    """
    if not row_shape and prod(asked) == n_features:
        return
    image = list(row_shape)
    shapes = [image] if image else []
    if len(image) == 2:
        shapes.append([1, *image])
    if image[:-2] == [1]:
        shapes.append(image[1:])
    shapes.append([n_features])
    if list(asked) in shapes:
        return
    others = "" if image else ", another shape of as many values"
    raise InvalidJobError(
        f"model.input_shape: expected {', '.join(map(str, shapes))}{others} or null, as rows have "
        f"{n_features} values, got {list(asked)}"
    )


NetworkName = Literal["mlp", "mobilenet", "resnet18", "resnet50"]
Network = Mlp | Mobilenet | Resnet18 | Resnet50
NETWORKS: dict[str, type[SpecGroup]] = {tag(each): each for each in get_args(Network)}
