"""Folders of a bucket come in pages, whatever is in them."""

from __future__ import annotations

from stepml.client.stored_folders import FolderPage, folder_page, folder_size
from tests.support.moto_stack import BUCKET, MotoStack

NAMES = ("a.csv", "b<script>.csv", "deep/one.csv", "deep/two/three.csv", "odd name.csv")


def pages(stack: MotoStack, prefix: str, limit: int) -> list[FolderPage]:
    connection = stack.client().connection
    found = [folder_page(connection, BUCKET, prefix, None, limit)]
    while found[-1].next is not None:
        found.append(folder_page(connection, BUCKET, prefix, found[-1].next, limit))
    return found


def test_pages_have_each_object_and_folder_once(stack: MotoStack) -> None:
    for each in ("", *NAMES):
        stack.put(f"data/paged/{each}", b"1234")
    for limit in (1, 2, 100):
        found = pages(stack, "data/paged/", limit)
        objects = [each.place for page in found for each in page.objects]
        assert objects == [
            "data/paged/a.csv",
            "data/paged/b<script>.csv",
            "data/paged/odd name.csv",
        ]
        assert [each for page in found for each in page.folders] == ["data/paged/deep/"]
        assert all(len(each.objects) + len(each.folders) <= limit for each in found)


def test_a_folder_counts_what_is_below_it(stack: MotoStack) -> None:
    for each in NAMES:
        stack.put(f"data/counted/{each}", b"1234")
    found = folder_size(stack.client().connection, BUCKET, "data/counted/")
    assert (found.stored.n_objects, found.stored.n_bytes, found.is_whole) == (5, 20, True)
    empty = folder_size(stack.client().connection, BUCKET, "data/none/")
    assert (empty.stored.n_objects, empty.stored.newest) == (0, None)
