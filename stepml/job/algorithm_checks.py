"""The combinations of an algorithm with a job's model and exchange that are allowed."""

from __future__ import annotations

from collections.abc import Callable

from stepml.job.algorithm_base import Descent
from stepml.job.algorithms import ALGORITHMS, algorithms_of
from stepml.job.channels import CHANNELS
from stepml.job.errors import InvalidJobError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import require_choice, settled, tag

_ONLY_SHARED = "requires channel 'parameter_server', pattern 'async'"


def suits(spec: JobSpec) -> bool:
    """Return whether the algorithm of ``spec`` is allowed with its model and exchange."""
    try:
        for check in ALGORITHM_CHECKS:
            check(spec)
    except InvalidJobError:
        return False
    return True


def _check_algorithm(spec: JobSpec) -> None:
    algorithm, exchange = settled(spec.algorithm), spec.exchange
    name, where = tag(algorithm), f"algorithm {tag(algorithm)!r}"
    require_choice("algorithm.name", name, f"model {tag(spec.model)!r}", algorithms_of(spec.model))
    patterns = algorithm.patterns
    if exchange.pattern not in patterns:  # name only patterns that the channel has, too
        of_channel = CHANNELS[exchange.channel].patterns
        patterns = tuple(each for each in patterns if each in of_channel)
    require_choice("exchange.pattern", exchange.pattern, where, patterns)
    if exchange.pattern == "async":
        where = "pattern 'async'"
    if exchange.pattern == "async" or not algorithm.compresses:
        require_choice("exchange.compression", exchange.compression, where, ("none",))
    algorithm.check(spec.model)


def _check_server(spec: JobSpec) -> None:
    exchange = spec.exchange
    channel = CHANNELS[exchange.channel]
    require_choice(
        "exchange.pattern", exchange.pattern, f"channel {channel.name!r}", channel.patterns
    )
    is_shared = channel.merges and exchange.pattern == "async"
    if exchange.max_staleness is not None and not is_shared:
        raise InvalidJobError(
            f"exchange.max_staleness: {_ONLY_SHARED}, not with channel {exchange.channel!r}, "
            f"pattern {exchange.pattern!r}; got {exchange.max_staleness}"
        )
    if exchange.server_update != "none":
        _check_server_update(spec, is_shared)


def _check_server_update(spec: JobSpec, is_shared: bool) -> None:
    exchange, algorithm = spec.exchange, settled(spec.algorithm)
    if not is_shared or not (isinstance(algorithm, Descent) and algorithm.server_steps):
        names = " or ".join(repr(name) for name, each in ALGORITHMS.items() if each.server_steps)
        raise InvalidJobError(
            f"exchange.server_update: {_ONLY_SHARED} and algorithm {names}, not with "
            f"channel {exchange.channel!r}, pattern {exchange.pattern!r} and algorithm "
            f"{tag(algorithm)!r}; got {exchange.server_update!r}"
        )
    optimiser = algorithm.optimiser or ("sgd" if algorithm.momentum else exchange.server_update)
    if exchange.server_update != optimiser:
        raise InvalidJobError(
            f"exchange.server_update: with algorithm.optimiser {optimiser!r} "
            f"expected {optimiser!r} or 'none', got {exchange.server_update!r}"
        )
    if spec.model.l1_factor:
        raise InvalidJobError(
            f"exchange.server_update: the server takes steps along gradients, but model.l1 "
            f"has no gradient; with l1 {spec.model.l1_factor:g} expected 'none', "
            f"got {exchange.server_update!r}"
        )
    if algorithm.weight_decay:
        raise InvalidJobError(
            "exchange.server_update: the server takes steps along gradients, but "
            "algorithm.weight_decay is apart from them; with weight_decay "
            f"{algorithm.weight_decay:g} expected 'none', got {exchange.server_update!r}"
        )


def _check_l1(spec: JobSpec) -> None:
    """Refuse what would minimise another objective, or have no zeros."""
    algorithm, exchange, l1 = spec.algorithm, spec.exchange, spec.model.l1_factor
    if not (l1 and isinstance(algorithm, Descent)):
        return
    where = f"model.l1 {l1:g} and "
    if algorithm.averages_models:
        where += f"algorithm {tag(algorithm)!r}"
    else:
        where += f"pattern {exchange.pattern!r}"
    if algorithm.averages_models or exchange.pattern == "async":  # each rank has its own moments
        optimiser = algorithm.optimiser or "sgd"  # is chosen
        require_choice("algorithm.optimiser", optimiser, where, ("sgd",))
    if algorithm.averages_models:  # parameters are small differences of what is exchanged
        require_choice("exchange.compression", exchange.compression, where, ("none",))


ALGORITHM_CHECKS: tuple[Callable[[JobSpec], None], ...] = (
    _check_algorithm,
    _check_server,
    _check_l1,
)
