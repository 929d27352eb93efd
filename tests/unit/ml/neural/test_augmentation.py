"""Changes of images: named by seed, pass and position, and made in training alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepml.job.algorithms import GradientAveraging, ModelAveraging
from stepml.job.models import Neural
from stepml.job.networks import Augmentation, Mlp
from stepml.ml.models import ChannelScale, LossModel, build_model
from stepml.ml.models.base import Draws, Floats
from tests.support.learning import Orchestra, averaged_gradients, job_of
from tests.support.torch import torch

RNG = np.random.default_rng(2)
LABELS = RNG.integers(0, 3, 60).astype(np.float32)
IMAGES = (RNG.normal(size=(60, 64)) + LABELS[:, None]).astype(np.float32)
BOTH = Augmentation(crop=2, flip=True)


def images(n: int = 40) -> Any:
    return torch.from_numpy(RNG.normal(size=(n, 2, 6, 5)).astype(np.float32))


def changed(x: Any, spec: Augmentation = BOTH, path: Any = (1, 2, 0), first: int = 0) -> Any:
    from stepml.ml.neural.augmentation import augmented

    return augmented(x, spec, path, first)


def changes(spec: Augmentation, n: int, path: Any = (1, 2, 0)) -> Any:
    from stepml.ml.neural.augmentation import draw_changes

    return draw_changes(spec, path, 0, n)


def spec(augment: Augmentation | None) -> Neural:
    return Neural(network=Mlp(hidden=(5,)), input_shape=(8, 8), augment=augment)


@pytest.mark.parametrize(
    "augment", [BOTH, Augmentation(crop=3), Augmentation(flip=True), Augmentation()]
)
def test_images_are_cut_out_of_larger_ones_and_mirrored(augment: Augmentation) -> None:
    x = images()
    found, drawn, crop = changed(x, augment), changes(augment, 40), augment.crop
    for number, (image, result) in enumerate(zip(x.numpy(), found.numpy(), strict=True)):
        expected = image[:, :, ::-1] if drawn.is_mirrored[number] else image
        wide = np.pad(expected, ((0, 0), (crop, crop), (crop, crop)))
        down, across = drawn.down[number], drawn.across[number]
        assert np.array_equal(result, wide[:, down : down + 6, across : across + 5])
    assert drawn.is_mirrored.any() == augment.flip


def test_an_images_changes_depend_on_its_position_and_on_no_batch() -> None:
    x = images()
    whole = changed(x, first=100)
    for cut in (1, 7, 39):
        parts = [changed(x[:cut], first=100), changed(x[cut:], first=100 + cut)]
        assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(changed(x, first=101), whole)


def test_seeds_epochs_and_passes_draw_apart() -> None:
    x = images()
    results = [changed(x, path=path) for path in ((1, 2, 0), (2, 2, 0), (1, 3, 0), (1, 2, 1))]
    for number, one in enumerate(results):
        assert torch.equal(
            one, changed(x, path=((1, 2, 0), (2, 2, 0), (1, 3, 0), (1, 2, 1))[number])
        )
        assert not any(torch.equal(one, other) for other in results[number + 1 :])


def test_all_changes_are_equally_likely_and_independent() -> None:
    n = 50_000
    drawn = changes(BOTH, n)
    combined = (5 * drawn.down + drawn.across) * 2 + drawn.is_mirrored
    counts = np.bincount(combined, minlength=50)
    assert len(counts) == 50
    chi_squared = np.square(counts - n / 50).sum() / (n / 50)
    assert chi_squared < 85.4  # 49 degrees of freedom: one in 1,000 exceeds it
    pairs = np.bincount(5 * drawn.down[:-1] + drawn.down[1:], minlength=25)  # neighbours
    assert np.square(pairs - (n - 1) / 25).sum() / ((n - 1) / 25) < 51.2  # 24 degrees


def full_batches(augment: Augmentation | None, shards: int, seed: int = 3) -> Floats:
    algorithm = GradientAveraging(batch_size=60 // shards, learning_rate=0.5, optimiser="sgd")
    job = job_of(spec(augment), algorithm, max_epochs=3)
    return averaged_gradients(job, IMAGES, LABELS, shards, epochs=3).parameters


def test_another_number_of_workers_changes_no_image() -> None:
    one, three, plain = full_batches(BOTH, 1), full_batches(BOTH, 3), full_batches(None, 1)
    assert np.abs(one - three).max() < 1e-5
    assert np.abs(one - plain).max() > 1e-3
    assert full_batches(BOTH, 3).tobytes() == three.tobytes()


def test_parts_of_a_batch_have_the_changes_of_the_whole() -> None:
    def trained(parts: int) -> Floats:
        algorithm = GradientAveraging(
            batch_size=30, learning_rate=0.5, optimiser="sgd", accumulate=parts
        )
        job = job_of(spec(BOTH), algorithm, max_epochs=2)
        return averaged_gradients(job, IMAGES, LABELS, 2, epochs=2).parameters

    assert np.abs(trained(1) - trained(3)).max() < 1e-5


def test_every_pass_of_an_epoch_draws_anew() -> None:
    def loss(passes: int, augment: Augmentation | None) -> float:
        algorithm = ModelAveraging(
            batch_size=20, learning_rate=1e-9, optimiser="sgd", local_epochs=passes
        )
        return Orchestra(job_of(spec(augment), algorithm), IMAGES, LABELS).train(0).training_loss

    assert loss(2, None) == pytest.approx(loss(1, None), rel=1e-6)
    assert loss(2, BOTH) != pytest.approx(loss(1, BOTH), rel=1e-4)


def network(augment: Augmentation | None, channels: ChannelScale | None = None) -> LossModel:
    model = build_model(spec(augment), 64, (0.0, 1.0, 2.0), channels=channels)
    assert isinstance(model, LossModel)
    return model


def test_evaluation_and_predictions_see_the_images_themselves() -> None:
    plain, random = network(None), network(BOTH)
    w, y = plain.initial_parameters(), plain.targets(LABELS)
    assert random.evaluate(w, IMAGES, y) == plain.evaluate(w, IMAGES, y)
    assert np.array_equal(random.predict(w, IMAGES), plain.predict(w, IMAGES))
    outs = [np.empty_like(w), np.empty_like(w)]
    assert random.gradient(w, IMAGES, y, outs[0]) == plain.gradient(w, IMAGES, y, outs[1])


def test_what_comes_in_from_outside_is_the_mean() -> None:
    """Images of one value are the same after any change, if that value is the mean."""
    channels = ChannelScale((130.0,), (50.0,))
    model, plain = network(BOTH, channels), network(None, channels)
    X, w = np.full((10, 64), 130, np.uint8), plain.initial_parameters()
    y, draws = plain.targets(LABELS[:10]), Draws(1, 2, 0, 0)
    losses = [
        each.batch_gradient(w, X, y, np.empty_like(w), draws, 0, 0) for each in (model, plain)
    ]
    assert losses[0] == losses[1]
    X[:] = 90
    losses = [
        each.batch_gradient(w, X, y, np.empty_like(w), draws, 0, 0) for each in (model, plain)
    ]
    assert losses[0] != losses[1]
