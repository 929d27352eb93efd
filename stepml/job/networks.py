"""The networks of a job spec that StepML brings; `stepml.ml.neural` builds them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from stepml.job.spec_base import SpecGroup, tag

Units = Annotated[int, Meta(ge=1, le=100_000)]
Dropout = Annotated[
    Annotated[float, Meta(ge=0, lt=1)],
    Meta(description="share of the values before the last layer that a step leaves out"),
]


class Mlp(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="mlp"):
    """Fully connected layers (multilayer perceptron)."""

    hidden: Annotated[
        Annotated[tuple[Units, ...], Meta(max_length=50)],
        Meta(description="units of each hidden layer"),
    ] = (256, 128)
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    dropout: Dropout = 0.0


class Mobilenet(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="mobilenet"):
    """Depthwise separable convolutions (MobileNet, Howard et al., 2017)."""

    width: Annotated[
        Annotated[float, Meta(ge=0.1, le=4)], Meta(description="factor of all channels")
    ] = 1.0
    depth: Annotated[
        Annotated[int, Meta(ge=0, le=50)],
        Meta(description="blocks of 512 channels that keep the size"),
    ] = 5
    dropout: Dropout = 0.0


class _Resnet(SpecGroup, frozen=True, kw_only=True):
    width: Annotated[
        Annotated[int, Meta(ge=4, le=512)], Meta(description="channels of the first stage")
    ] = 64


class Resnet18(_Resnet, frozen=True, kw_only=True, tag_field="name", tag="resnet18"):
    """Residual network of 18 layers (He et al., 2016)."""


class Resnet50(_Resnet, frozen=True, kw_only=True, tag_field="name", tag="resnet50"):
    """Residual network of 50 layers (He et al., 2016)."""


NetworkName = Literal["mlp", "mobilenet", "resnet18", "resnet50"]
Network = Mlp | Mobilenet | Resnet18 | Resnet50
NETWORKS: dict[str, type[SpecGroup]] = {tag(each): each for each in get_args(Network)}
