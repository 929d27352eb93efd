"""Folders of idx objects as people have them: copies, and images for testing beside the others."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.ml.data.formats.idx.header import (
    is_compressed,
    is_for_testing,
    is_for_training,
    is_images,
    labels_beside,
)
from stepml.ml.data.objects import DataObject

Objects = list[DataObject]


def without_copies(objects: Sequence[DataObject]) -> tuple[Objects, Objects]:
    """Return each content once, and the copies: with the same ETag, or compressed beside it.

    Kaggle ships MNIST twice, torchvision stores each object with its compressed form.
    """
    names = {each.name for each in objects}
    kept: dict[tuple[str, int], DataObject] = {}

    def is_copy(images: DataObject) -> bool:
        if is_compressed(images.name) and images.name.removesuffix(".gz") in names:
            return True
        return kept.setdefault((images.etag, images.value_bytes), images) is not images

    return _split(objects, [each for each in objects if is_images(each.name) and is_copy(each)])


def without_tests(objects: Sequence[DataObject]) -> tuple[Objects, Objects]:
    """Return the objects to train on, and those for testing, if their names tell them apart."""
    images = [each for each in objects if is_images(each.name)]
    tests = [each for each in images if is_for_testing(each.name)]
    has_others = any(is_for_training(each.name) for each in images if each not in tests)
    return _split(objects, tests if has_others else [])


def _split(objects: Sequence[DataObject], images: Objects) -> tuple[Objects, Objects]:
    """Return the objects without ``images`` and their labels, and these."""
    apart = {key for each in images for key in (each.key, *labels_beside(each.key))}
    kept = [each for each in objects if each.key not in apart]
    return kept, [each for each in objects if each.key in apart]
