"""Values in blocks are whole or absent, and leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stepml.job.errors import WaitTimeoutError
from storage.base import ABSENT, Storage
from storage.blocks import BlockStorage
from storage.testing.memory import MemoryStorage

BLOCK = 1000


def value(number: int, size: int = 10 * BLOCK) -> bytes:
    return bytes([number]) * size


def block_keys(inner: Storage) -> list[str]:
    return sorted(key for key in inner.list("") if "#" in key)


@pytest.fixture
def inner() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def mine(inner: MemoryStorage) -> BlockStorage:
    return BlockStorage(inner, BLOCK)


@pytest.fixture
def theirs(inner: MemoryStorage) -> BlockStorage:
    """Another worker's connection to the same store."""
    return BlockStorage(inner, BLOCK)


def test_deleted_values_leave_nothing_behind(blocks: BlockStorage) -> None:
    large = value(1, 3 * 2**20)
    blocks.save("a/k", large)
    blocks.publish("a/p", large)
    assert blocks.compare_and_save("a/c", large, ABSENT)
    assert blocks.compare_and_save("a/c", value(2, 3 * 2**20), blocks.load_version("a/c")[1])
    keys = ["a/c", "a/k", "a/p"]
    assert sorted(blocks.list("a/")) == keys
    assert len([*blocks.inner.list("a/")]) > 2 * len(keys)
    blocks.delete_many(keys)
    assert [*blocks.inner.list("")] == []


def test_clear_leaves_nothing_of_a_prefix_behind(blocks: BlockStorage) -> None:
    large = value(1, 3 * 2**20)
    for key in ("a/k", "a/p", "a"):
        blocks.save(key, large)
        blocks.save(key, large)  # no value refers to the first blocks any more
    blocks.clear("a/")
    assert {key.partition("#")[0] for key in blocks.inner.list("")} == {"a"}
    assert blocks.load("a") == large
    blocks.clear("a")
    assert [*blocks.inner.list("")] == []


def test_a_value_of_another_worker_is_deleted_with_its_blocks(
    inner: MemoryStorage, mine: BlockStorage, theirs: BlockStorage
) -> None:
    mine.save("k", value(1))
    theirs.delete("k")
    assert [*inner.list("")] == []


def test_the_blocks_of_those_who_came_second_are_gone(
    inner: MemoryStorage, mine: BlockStorage, theirs: BlockStorage
) -> None:
    assert mine.publish("k", value(1)) == value(1)
    before = block_keys(inner)
    assert theirs.publish("k", value(2)) == value(1)
    assert not theirs.compare_and_save("k", value(3), ABSENT)
    assert block_keys(inner) == before
    assert mine.load("k") == value(1)


def test_a_repeated_publish_keeps_the_blocks_of_the_first(
    inner: MemoryStorage, mine: BlockStorage
) -> None:
    for _ in range(3):
        assert mine.publish("k", value(1)) == value(1)
    assert mine.load("k") == value(1)
    assert len(block_keys(inner)) == 10


def test_writers_at_once_never_mix_their_blocks(mine: BlockStorage, theirs: BlockStorage) -> None:
    mine.save("k", value(0))

    def write(number: int) -> None:
        (mine if number % 2 else theirs).save("k", value(number))

    with ThreadPoolExecutor(4) as pool:
        writing = pool.map(write, range(100))
        for _ in range(50):
            assert len(set(bytes(theirs.load("k")))) == 1
        list(writing)
    assert len(set(bytes(mine.load("k")))) == 1


def test_a_value_that_was_replaced_is_found_and_loaded(
    mine: BlockStorage, theirs: BlockStorage
) -> None:
    mine.save("k", value(1))
    theirs.delete("k")
    theirs.save("k", value(2))
    assert mine.find_many(["k"]) == {"k"}
    assert mine.load("k") == value(2)
    theirs.save("k", b"small")
    assert mine.find_many(["k"]) == {"k"}
    assert mine.load("k") == b"small"


@pytest.mark.parametrize("worker", ["mine", "theirs"])
@pytest.mark.parametrize("lost", [0, 9])
def test_a_value_that_lost_a_block_counts_as_absent_and_heals(
    request: pytest.FixtureRequest, inner: MemoryStorage, mine: BlockStorage, worker: str, lost: int
) -> None:
    storage: BlockStorage = request.getfixturevalue(worker)
    mine.publish("k", value(1))
    inner.delete(block_keys(inner)[lost])
    assert storage.load_many(["k"]) == {}
    assert storage.load_into({"k": memoryview(bytearray(10 * BLOCK))}) == set()
    assert storage.find_many(["k"]) == set()
    assert storage.load_version("k")[0] is None
    with pytest.raises(WaitTimeoutError, match="still missing: k"):
        storage.wait_many(["k"], timeout_s=0.05)
    assert storage.publish("k", value(2)) == value(2)
    assert mine.load("k") == value(2)


def test_a_value_that_lost_a_block_can_be_compared_and_saved(
    inner: MemoryStorage, mine: BlockStorage
) -> None:
    mine.save("k", value(1))
    inner.delete(block_keys(inner)[0])
    seen, version = mine.load_version("k")
    assert seen is None
    assert mine.compare_and_save("k", value(2), version)
    assert mine.load("k") == value(2)


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 1])
def test_no_block_is_larger_than_asked(inner: MemoryStorage, mine: BlockStorage, size: int) -> None:
    mine.save("k", value(1, size))
    assert mine.load("k") == value(1, size)
    blocks = inner.load_many([*inner.list("")])
    assert max(map(len, blocks.values())) <= BLOCK
    assert len(block_keys(inner)) == (0 if size <= BLOCK else -(-size // BLOCK))


def test_a_value_that_looks_like_a_manifest_is_a_value(
    inner: MemoryStorage, mine: BlockStorage
) -> None:
    mine.save("k", value(1))
    manifest = inner.load("k")
    mine.save("copy", manifest)
    assert mine.load("copy") == manifest
    mine.delete_many(["k", "copy"])
    assert [*inner.list("")] == []


def test_a_storage_without_a_limit_needs_a_size_of_blocks() -> None:
    with pytest.raises(ValueError, match="so a size is needed"):
        BlockStorage(MemoryStorage())
