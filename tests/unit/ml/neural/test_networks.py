"""Networks as models: gradients, statistics and random draws, and their equality with torch's."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from stepml.job import networks
from stepml.job.algorithms import GradientAveraging, ModelAveraging
from stepml.job.models import Neural
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import LabelUnit, NeuralClassifier, build_model
from stepml.ml.models.base import DataFacts, Draws, Floats
from tests.support.learning import Orchestra, averaged_gradients, job_of
from tests.support.torch import torch

CLASSES = (0.0, 1.0, 2.0)
IMAGES: dict[str, Any] = {"input_shape": (2, 8, 8)}
SMALL = {
    "mlp": Neural(network=networks.Mlp(hidden=(7, 5), activation="tanh"), input_shape=(6,)),
    "mobilenet": Neural(network=networks.Mobilenet(width=0.1, depth=1), **IMAGES),
    "resnet18": Neural(network=networks.Resnet18(width=4), **IMAGES),
    "resnet50": Neural(network=networks.Resnet50(width=4), **IMAGES),
}
MLP = Neural(network=networks.Mlp(hidden=(16,)))


def network(spec: Neural, n_features: int, labels: Any = CLASSES) -> NeuralClassifier:
    model = build_model(spec, n_features, labels)
    assert isinstance(model, NeuralClassifier)
    return model


def size(spec: Neural) -> int:
    return int(np.prod(spec.input_shape or (6,)))


def rows(n_samples: int, n_features: int, n_classes: int = 3) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    W = rng.normal(size=(n_features, n_classes))
    return X, (X @ W).argmax(axis=1).astype(np.float32)


@pytest.mark.parametrize("spec", SMALL.values(), ids=SMALL)
def test_gradients_are_those_of_finite_differences(spec: Neural) -> None:
    """The module computes in float64 here: differences of float32 losses are too coarse."""
    model = network(spec, size(spec))
    X, labels = rows(6, size(spec))
    w = model.initial_parameters()
    out = np.empty_like(w)
    bound, y = model.bound, torch.from_numpy(model.targets(labels))
    bound.gradient(w, bound.rows(X), y, out)

    n = model.n_trained
    module = bound.module.double().train()
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=n)
        direction /= np.linalg.norm(direction)

        def loss(step: float, towards: Any = direction) -> float:
            moved = torch.from_numpy(w[:n].astype(np.float64) + step * towards)
            torch.nn.utils.vector_to_parameters(moved, module.parameters())
            with torch.no_grad():
                return float(
                    torch.nn.functional.cross_entropy(module(bound.rows(X).double()), y.long())
                )

        slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
        assert out[:n] @ direction == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_a_gradient_replaces_what_was_there_and_leaves_none_in_the_module() -> None:
    """Each gradient is added to its part of the vector, so that no other copy needs memory."""
    model = network(MLP, 6)
    X, labels = rows(6, 6)
    w, y = model.initial_parameters(), model.targets(labels)
    first, again = np.full_like(w, np.nan), np.full_like(w, 7)
    losses = [model.gradient(w, X, y, out) for out in (first, again)]
    assert losses[0] == losses[1]
    assert np.array_equal(first, again)
    assert all(each.grad is None for each in model.bound.module.parameters())


@pytest.mark.parametrize("spec", SMALL.values(), ids=SMALL)
def test_a_vector_has_all_tensors_by_their_names(spec: Neural) -> None:
    model = network(spec, size(spec))
    w = model.first_parameters(lambda: pytest.fail("no sample is needed"), seed=5)
    arrays = model.arrays(w)
    assert np.array_equal(model.parameters(arrays), w)
    module = model.bound.module
    names = {name for name, each in module.state_dict().items() if each.is_floating_point()}
    assert set(arrays) == names
    assert not np.array_equal(w[: model.n_trained], model.initial_parameters()[: model.n_trained])


@pytest.mark.parametrize("name", [name for name in SMALL if name != "mlp"])
def test_a_row_alone_is_normalised_with_the_statistics_so_far(name: str) -> None:
    """The last layers have one value a channel, whose variance torch refuses to compute."""
    model = network(SMALL[name], size(SMALL[name]))
    X, labels = rows(3, size(SMALL[name]))
    w, y = model.initial_parameters(), model.targets(labels)
    step, step_of_one = np.empty_like(w), np.empty_like(w)
    model.gradient(w, X[:2], y[:2], step)
    step[: model.n_trained] *= 0.01
    w -= step
    model.gradient(w, X[2:], y[2:], step_of_one)
    module, steps = model.bound.module, model.arrays(step_of_one)
    spared = [
        each for each, layer in module.named_modules() if layer is not module and not layer.training
    ]
    assert spared
    assert not any(steps[f"{each}.running_mean"].any() for each in spared)

    model.bound._bind(w)  # with the statistics of before
    outputs = module(model.bound.rows(X[2:]))
    loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(y[2:]).long())
    first = model.network.trained[0].name
    (expected,) = torch.autograd.grad(loss, [dict(module.named_parameters())[first]])
    assert expected.any()
    assert np.allclose(steps[first], expected, atol=1e-6)


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam", "adamw"])
def test_steps_are_those_of_a_plain_training_loop(optimiser: str) -> None:
    """50 steps on the batches of gradient averaging, in torch's own optimisers."""
    X, labels = rows(200, 6)
    fields: dict[str, Any] = {
        "sgd": {"optimiser": "sgd", "momentum": 0.0, "learning_rate": 0.1},
        "momentum": {"optimiser": "sgd", "momentum": 0.9, "learning_rate": 0.02},
        "adam": {"optimiser": "adam", "momentum": 0.0, "learning_rate": 0.01},
        "adamw": {
            "optimiser": "adam",
            "momentum": 0.0,
            "learning_rate": 0.01,
            "weight_decay": 0.1,
        },
    }[optimiser]
    algorithm = GradientAveraging(batch_size=20, schedule="constant", **fields)
    job = job_of(MLP, algorithm, max_epochs=5)
    ours = averaged_gradients(job, X, labels, shards=1, epochs=5).parameters

    module = network(MLP, 6).bound.module
    theirs = {
        "sgd": lambda each: torch.optim.SGD(each, lr=0.1),
        "momentum": lambda each: torch.optim.SGD(each, lr=0.02, momentum=0.9),
        "adam": lambda each: torch.optim.Adam(each, lr=0.01),
        "adamw": lambda each: torch.optim.AdamW(each, lr=0.01, weight_decay=0.1),
    }[optimiser](module.parameters())
    for epoch in range(1, 6):
        order = np.random.Generator(np.random.PCG64([3, epoch])).permutation(10)
        for batch in order:
            part = slice(20 * batch, 20 * batch + 20)
            theirs.zero_grad()
            outputs = module(torch.from_numpy(X[part]))
            torch.nn.functional.cross_entropy(
                outputs, torch.from_numpy(labels[part]).long()
            ).backward()
            theirs.step()
    expected = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    assert np.abs(ours - expected).max() < 1e-4


def test_four_workers_step_as_one_does() -> None:
    X, labels = rows(400, 6)

    def trained(batch_size: int, shards: int) -> Any:
        algorithm = GradientAveraging(
            batch_size=batch_size, learning_rate=0.05, optimiser="sgd", momentum=0.9
        )
        return averaged_gradients(job_of(MLP, algorithm, max_epochs=3), X, labels, shards, epochs=3)

    # One slice of one shard has other rows than four slices of four, but all rows are in each step.
    one, four = trained(400, 1), trained(100, 4)
    assert np.abs(one.parameters - four.parameters).max() < 1e-4
    assert one.training_loss == pytest.approx(four.training_loss, abs=1e-4)


def test_statistics_are_averaged_over_ranks_and_end_equal_in_all_replicas() -> None:
    spec = SMALL["mobilenet"]
    X, labels = rows(40, 128)
    algorithm = GradientAveraging(batch_size=20, learning_rate=1e-9, optimiser="adam")
    job = job_of(spec, algorithm, max_epochs=1)
    ours = averaged_gradients(job, X, labels, shards=2, epochs=1).parameters

    model = network(spec, 128)
    tails = []
    for part in (slice(0, 20), slice(20, 40)):
        module = network(spec, 128).bound.module.train()
        module(torch.from_numpy(X[part]).reshape(-1, 2, 8, 8))
        named = {name: each for name, each in module.named_buffers() if each.is_floating_point()}
        tails.append(np.concatenate([each.numpy().reshape(-1) for each in named.values()]))
    assert np.allclose(ours[model.n_trained :], np.mean(tails, axis=0), atol=1e-5)


def test_moments_and_clipping_leave_statistics_alone() -> None:
    spec = SMALL["mobilenet"]
    X, labels = rows(40, 128)
    for fields in ({"clip_norm": 1e-3}, {"weight_decay": 0.5}):
        plain, special = (
            averaged_gradients(
                job_of(spec, GradientAveraging(batch_size=40, learning_rate=1e-9, **more)),  # type: ignore[arg-type]
                X,
                labels,
                shards=1,
                epochs=1,
            ).parameters
            for more in ({"optimiser": "adam"}, {"optimiser": "adam", **fields})
        )
        n = network(spec, 128).n_trained
        assert np.array_equal(plain[n:], special[n:])


def test_a_mean_of_models_has_the_mean_of_their_statistics() -> None:
    spec = SMALL["mobilenet"]
    X, labels = rows(30, 128)
    algorithm = ModelAveraging(batch_size=50, learning_rate=1e-9, optimiser="sgd")
    orchestra = Orchestra(job_of(spec, algorithm), X, labels, shards=(20, 10))
    merged = orchestra.epochs(1)
    alone = []
    for rank in (0, 1):
        again = Orchestra(job_of(spec, algorithm), X, labels, shards=(20, 10))
        alone.append(again.train(rank).parameters)
    expected = (20 * alone[0] + 10 * alone[1]) / 30
    assert np.allclose(merged, expected, atol=1e-6)


def test_dropout_depends_on_the_name_of_the_batch_alone() -> None:
    spec = Neural(network=networks.Mlp(hidden=(64,), dropout=0.5))
    model, again = network(spec, 6), network(spec, 6)
    X, labels = rows(16, 6)
    w, y = model.initial_parameters(), model.targets(labels)

    def gradient(of: NeuralClassifier, draws: Draws, batch: int) -> bytes:
        out = np.empty_like(w)
        of.batch_gradient(w, X, y, out, draws, batch, 0)
        return out.tobytes()

    first = gradient(model, Draws(1, 2, 3, 0), 4)
    torch.manual_seed(77)
    assert gradient(again, Draws(1, 2, 3, 0), 4) == first
    others = [(Draws(2, 2, 3, 0), 4), (Draws(1, 3, 3, 0), 4), (Draws(1, 2, 2, 0), 4)]
    for draws, batch in [*others, (Draws(1, 2, 3, 0), 5)]:
        assert gradient(model, draws, batch) != first


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_slices_add_up_to_the_whole(loss: Any) -> None:
    labels = (0.0, 1.0) if loss == "binary_cross_entropy" else CLASSES
    spec = Neural(network=networks.Mlp(hidden=(8,)), loss=loss)
    model = network(spec, 6, labels)
    X, y = rows(50, 6, n_classes=len(labels))
    w, targets = model.initial_parameters(), model.targets(y)
    parts = [slice(0, 13), slice(13, 13), slice(13, 50)]
    sums = np.sum([model.tally(w, X[each], targets[each]) for each in parts], axis=0)
    whole, added = model.evaluate(w, X, targets), model.judged(sums)
    assert added.loss == pytest.approx(whole.loss, rel=1e-6)
    assert added.metrics == pytest.approx(whole.metrics)
    predicted = model.predict(w, X)
    assert whole.metrics["accuracy"] == np.mean(predicted == y)
    assert np.allclose(model.probabilities(w, X).sum(axis=1), 1)
    assert np.array_equal(model.probabilities(w, X).argmax(axis=1), predicted)


@pytest.mark.parametrize("counts", [(90, 10), (50, 50), (100, 0)])
def test_the_loss_without_features_is_the_least_of_equal_outputs_for_all_rows(counts: Any) -> None:
    """With smoothing, even a perfect model has a loss, which may exceed the loss without."""
    spec = Neural(network=networks.Mlp(hidden=(8,)), label_smoothing=0.4)
    model = network(spec, 6, (0.0, 1.0))
    y = np.repeat(np.arange(2, dtype=np.int32), counts)
    found = model.constant_loss(DataFacts(6, (0.0, 1.0), counts), y)
    assert found is not None
    losses = [
        model.loss(np.tile(np.float32([0, z]), (len(y), 1)), y) for z in np.linspace(-5, 5, 2001)
    ]
    assert found == pytest.approx(min(losses), abs=1e-5)
    assert np.argmin(losses) not in (0, 2000)


def test_numbers_are_learnt_in_their_own_unit() -> None:
    spec = Neural(network=networks.Mlp(hidden=(8,)), loss="mean_squared_error")
    X, _ = rows(80, 6)
    labels = (1e6 + 1e4 * X[:, 0]).astype(np.float32)
    unit = LabelUnit.of(labels)
    model = build_model(spec, 6, None, None, unit)
    w = model.first_parameters(lambda: (X, None), seed=0)
    found = model.evaluate(w, X, model.targets(labels))
    predicted = model.predict(w, X)
    errors = predicted.astype(np.float64) - labels
    assert found.loss == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert found.metrics["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert found.metrics["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)
    assert found.metrics["r2"] == pytest.approx(1 - np.var(errors) / np.var(labels), abs=0.5)


def test_top_5_counts_the_classes_with_larger_outputs() -> None:
    from stepml.ml.models.tallies import quality_of_classes, tally_classes

    outputs = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 2], [0, 0, 0, 0, 0, 0]], np.float32)
    own = np.array([5, 4, 5])
    found = quality_of_classes(tally_classes(1.0, outputs, own, 6), 6)
    assert found.metrics["top5_accuracy"] == pytest.approx(1 / 3)
    assert found.metrics["accuracy"] == 0


@pytest.mark.parametrize("accumulate", [3, 100])
def test_parts_of_a_batch_add_up_to_its_gradient(accumulate: int) -> None:
    X, labels = rows(60, 6)

    def trained(**fields: Any) -> Any:
        algorithm = GradientAveraging(
            batch_size=10, learning_rate=0.05, optimiser="sgd", momentum=0.9, **fields
        )
        return averaged_gradients(job_of(MLP, algorithm, max_epochs=2), X, labels, 2, epochs=2)

    whole, parts = trained(), trained(accumulate=accumulate)
    assert np.abs(whole.parameters - parts.parameters).max() < 1e-5
    assert parts.training_loss == pytest.approx(whole.training_loss, rel=1e-5)
    assert parts.rows_seen == whole.rows_seen


def test_sparse_rows_are_evaluated_without_all_their_zeros() -> None:
    n_samples, n_features = 8000, 5000  # 160 MB with zeros
    indices = np.random.default_rng(0).integers(n_features, size=n_samples).astype(np.int32)
    X = CsrMatrix(np.arange(n_samples + 1), indices, np.ones(n_samples, np.float32), n_features)
    model = network(Neural(network=networks.Mlp(hidden=())), n_features)
    w = model.initial_parameters()
    tracemalloc.start()
    outputs = model.outputs(w, X)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 80e6
    arrays = model.arrays(w)
    expected = arrays["1.weight"][:, indices].T + arrays["1.bias"]
    assert np.allclose(outputs, expected, atol=1e-6)
