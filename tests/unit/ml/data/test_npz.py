"""npz: the rows are those of the arrays for any ranges, and other contents are refused."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from stepml.job.errors import BadRowError, DamagedValueError, EmptyDataError, InvalidDataError
from stepml.ml.data import (
    DataObject,
    Manifest,
    SourceFormat,
    arrays,
    sniff,
    write_pieces,
)
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.npz import Npz, archive
from stepml.ml.data.formats.npz.rows import CsrBlocks, NpzRows
from stepml.ml.data.formats.row_checks import BLOCK_BYTES
from stepml.ml.data.ranges import Cut, plan_ranges
from stepml.ml.data.row_ids import object_salt, row_ids
from tests.support.data_sets import MemoryObjects, described, partition

RNG = np.random.default_rng(7)
X = RNG.normal(size=(5000, 7)).astype(np.float32)
Y = RNG.integers(0, 3, 5000)


def npz(compressed: bool = False, **content: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **content)
    return file.getvalue()


def csr(matrix: Any, **content: Any) -> bytes:
    matrix = scipy.sparse.csr_matrix(matrix)
    parts = {
        "data": matrix.data,
        "indices": matrix.indices,
        "indptr": matrix.indptr,
        "shape": np.array(matrix.shape),
        "format": np.array(b"csr"),
    }
    return npz(**(parts | content))


def sparse_matrix(n_rows: int, n_features: int) -> Any:
    return scipy.sparse.random(n_rows, n_features, 0.1, "csr", np.float32, RNG)


def stored_rows(store: MemoryObjects, manifest: Manifest) -> tuple[np.ndarray, ...]:
    """Return ids, labels and features (dense) of all pieces, in the order of the ids."""
    ids, labels, rows = [], [], []
    for piece in manifest.pieces:
        found, _ = arrays.unpack(store.objects[piece.key])
        ids.append(found["ids"])
        labels.append(found["y"])
        rows.append(found["X"] if "X" in found else dense(found, manifest.n_features))
    order = np.argsort(np.concatenate(ids))
    return tuple(np.concatenate(each)[order] for each in (ids, labels, rows))


def dense(piece: dict[str, np.ndarray], n_features: int) -> np.ndarray:
    ends = np.concatenate([[0], np.cumsum(piece["counts"])])
    parts = (piece["values"], piece["indices"], ends)
    return scipy.sparse.csr_matrix(parts, (len(piece["ids"]), n_features)).toarray()


def expected_rows(**objects: tuple[Any, Any]) -> tuple[np.ndarray, ...]:
    """Return the expected result of `stored_rows` for objects of rows and labels."""
    ids = [row_ids(np.arange(len(x)), object_salt(name, 0)) for name, (x, _) in objects.items()]
    order = np.argsort(np.concatenate(ids))
    labels = np.concatenate([np.asarray(y, np.float32) for _, y in objects.values()])
    rows = np.concatenate([np.asarray(x, np.float32) for x, _ in objects.values()])
    return np.concatenate(ids)[order], labels[order], rows[order]


def require_equal(found: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_ranges", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_rows_are_those_of_the_arrays_whatever_the_ranges(
    n_ranges: int, compressed: bool
) -> None:
    store = MemoryObjects(
        a=npz(compressed, X=X, y=Y), b=npz(compressed, y=Y[:1], X=X[:1]), c=npz(X=X[:9], y=Y[:9])
    )
    manifest = partition(store, n_ranges, format="npz", piece_bytes=50_000, request_bytes=1000)
    assert manifest.n_features == 7
    require_equal(
        stored_rows(store, manifest), expected_rows(a=(X, Y), b=(X[:1], Y[:1]), c=(X[:9], Y[:9]))
    )


@pytest.mark.parametrize("n_ranges", [1, 3, 40])
def test_the_rows_of_csr_matrices_are_those_of_the_matrix(
    monkeypatch: pytest.MonkeyPatch, n_ranges: int
) -> None:
    small_blocks = Npz(csr_blocks=CsrBlocks(rows=70, pairs=50))
    monkeypatch.setitem(FORMATS, "npz", small_blocks)
    matrix, more = sparse_matrix(1000, 30), sparse_matrix(5, 30)
    store = MemoryObjects(a=csr(matrix, y=Y[:1000]), b=csr(more, y=Y[:5]))
    manifest = partition(store, n_ranges, format="npz", request_bytes=1000)
    assert manifest.nnz == matrix.nnz + more.nnz
    assert manifest.layout.is_sparse
    expected = expected_rows(a=(matrix.toarray(), Y[:1000]), b=(more.toarray(), Y[:5]))
    require_equal(stored_rows(store, manifest), expected)


def test_what_scipy_writes_is_read() -> None:
    file = io.BytesIO()
    matrix = sparse_matrix(50, 8)
    scipy.sparse.save_npz(file, matrix)
    store = MemoryObjects(x=file.getvalue())
    manifest = partition(store, format="npz", has_label=False)
    require_equal(stored_rows(store, manifest), expected_rows(x=(matrix.toarray(), np.zeros(50))))


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "i8", "f2", ">f4", "f8", "g"])
def test_all_real_numbers_are_read(dtype: str) -> None:
    rows, labels = (10 * X[:20]).astype(dtype), Y[:20].astype(dtype)
    store = MemoryObjects(x=npz(X=rows, y=labels))
    found = stored_rows(store, partition(store, format="npz"))
    require_equal(found, expected_rows(x=(rows, labels)))


def stored(**content: Any) -> list[bytes]:
    store = MemoryObjects(x=npz(**content))
    manifest = partition(store, format="npz")
    return [each.tobytes() for each in stored_rows(store, manifest)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "?", "f4", ">f8"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (3, 2, 3)])
def test_the_order_of_values_in_memory_does_not_matter(
    shape: tuple[int, ...], dtype: str, compressed: bool
) -> None:
    rows = RNG.integers(0, 2, (3000, *shape)).astype(dtype)
    scattered = np.asfortranarray(rows)
    assert not scattered.flags.c_contiguous
    assert stored(compressed=compressed, X=scattered, y=Y[:3000]) == stored(X=rows, y=Y[:3000])


def test_a_large_matrix_in_fortran_order_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "MOST_FORTRAN_BYTES", X.nbytes - 1)
    problem = r"X is in Fortran order.*np.ascontiguousarray\(X\), or in several objects"
    with pytest.raises(InvalidDataError, match=problem):
        stored(X=np.asfortranarray(X), y=Y)


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_in_fortran_order_is_found(compressed: bool) -> None:
    content = bytearray(npz(compressed, X=np.asfortranarray(X), y=Y))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(InvalidDataError, match="s3 object x: X: "):
        partition(MemoryObjects(x=bytes(content)), format="npz")


def test_labels_may_be_a_column() -> None:
    assert stored(X=X, y=Y[:, None]) == stored(X=X, y=Y)


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        (("X", "y"), []),
        (("x", "Y"), ["features are the array 'x', labels 'Y'"]),
        (("x_train", "y_train"), ["features are the array 'x_train', labels 'y_train'"]),
        (("X_train", "y_train"), ["features are the array 'X_train', labels 'y_train'"]),
        (
            ("train_images", "train_labels"),
            ["features are the array 'train_images', labels 'train_labels'"],
        ),
        (("data", "target"), ["features are the array 'data', labels 'target'"]),
        (("arr_0", "arr_1"), ["features are the array 'arr_0', labels 'arr_1'"]),
    ],
)
def test_usual_names_of_arrays_are_found_and_named(
    names: tuple[str, str], notes: list[str]
) -> None:
    content = dict(zip(names, (X, Y), strict=True))
    assert stored(**content) == stored(X=X, y=Y)
    store = MemoryObjects(x=npz(**content))
    assert reviewed(store) == notes


def reviewed(store: MemoryObjects, **options: Any) -> list[str]:
    source, objects = SourceFormat(format="npz", **options), described(store)
    return Npz().review(store, objects, sniff(store, objects, source), source)


def test_other_arrays_are_left_out_and_named() -> None:
    keras = npz(x_train=X, y_train=Y, x_test=X[:9], y_test=Y[:9])
    notes = reviewed(MemoryObjects(x=keras))
    assert notes[1:] == ["left out: the arrays 'x_test', 'y_test'"]
    assert reviewed(MemoryObjects(x=npz(X=X, y=Y)), has_label=False) == ["left out: the arrays 'y'"]
    target = MemoryObjects(x=csr(X[:9], target=Y[:9]))
    assert reviewed(target) == ["features are the matrix, labels 'target'"]
    assert partition(target, format="npz").n_rows == 9


@pytest.mark.parametrize(("shape", "is_said"), [((32, 32, 3), True), ((3, 32, 32), False)])
def test_channels_that_seem_to_be_last_are_said(shape: tuple[int, ...], is_said: bool) -> None:
    images = np.zeros((4, *shape), np.uint8)
    notes = reviewed(MemoryObjects(x=npz(X=images, y=Y[:4])))
    assert [note.split(";")[0] for note in notes] == [
        "images are 32 × 32 × 3, taken as channels × height × width"
    ] * is_said


def test_an_object_is_not_cut_and_goes_to_the_task_that_has_its_start() -> None:
    store = MemoryObjects(a=npz(X=X, y=Y), b=npz(X=X[:9], y=Y[:9]), c=npz(X=X, y=Y))
    objects = described(store)
    cuts = [FORMATS["npz"].cut_of(each) for each in objects]
    assert cuts == [Cut.NOWHERE] * 3
    tasks = plan_ranges(objects, 40, cuts)
    sizes = [each.value_bytes for each in objects]
    parts = [part for parts in tasks for part in parts]
    assert [(p.object_index, p.start, p.stop) for p in parts] == [
        (index, 0, size) for index, size in enumerate(sizes)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from(Cut)), min_size=1, max_size=30).filter(
        lambda objects: any(size for size, cut in objects if cut is not Cut.NO_ROWS)
    ),
    st.integers(1, 40),
)
def test_every_byte_of_rows_is_in_one_range_and_what_is_not_cut_in_one_piece(
    drawn: list[tuple[int, Cut]], n_ranges: int
) -> None:
    objects = [DataObject(str(i), str(i), size, "") for i, (size, _) in enumerate(drawn)]
    tasks = plan_ranges(objects, n_ranges, [cut for _, cut in drawn])
    parts = [part for parts in tasks for part in parts]
    covered = [(p.object_index, byte) for p in parts for byte in range(p.start, p.stop)]
    assert covered == [
        (i, byte)
        for i, (size, cut) in enumerate(drawn)
        for byte in range(size if cut is not Cut.NO_ROWS else 0)
    ]
    whole = [i for i, (size, cut) in enumerate(drawn) if size and cut is Cut.NOWHERE]
    assert [p.object_index for p in parts if drawn[p.object_index][1] is Cut.NOWHERE] == whole
    assert 1 <= len(tasks) <= n_ranges
    assert all(tasks)


def test_pairs_in_any_order_are_sorted() -> None:
    content = {"data": [3.0, 1.0, 2.0], "indices": [4, 0, 2], "indptr": [0, 3, 3]}
    store = MemoryObjects(x=csr(np.zeros((2, 5)), y=[0, 1], **content))
    found = stored_rows(store, partition(store, format="npz"))
    require_equal(found, expected_rows(x=([[1, 0, 2, 0, 3], [0] * 5], [0, 1])))


def bad_csr(**content: Any) -> bytes:
    good = {"data": [3.0, 1.0], "indices": [0, 2], "indptr": [0, 1, 2]}
    return csr(np.zeros((2, 5)), **({"y": [0, 1]} | good | content))


@pytest.mark.parametrize(
    ("content", "bad", "problem"),
    [
        (npz(X=[[1.0], [np.nan]], y=[0, 1]), 1, "feature 0 is nan, a missing value"),
        (npz(X=[[1.0], [-np.inf]], y=[0, 1]), 1, "feature 0 is -inf, not a finite number"),
        (npz(X=[[0, 1e39], [0, 1]], y=[0, 1]), 0, r"feature 1 is 1e\+39, too large for float32"),
        (npz(X=[[1.0], [2.0]], y=[np.nan, 1]), 0, "the label is nan, a missing value"),
        (bad_csr(data=[3.0, np.nan]), 1, "feature 2 is nan, a missing value"),
        (bad_csr(y=[0, np.inf]), 1, "the label is inf, not a finite number"),
        (bad_csr(y=[0, 1e39]), 1, r"the label is 1e\+39, too large for float32"),
        (bad_csr(indices=[0, 5]), 1, "the index 5 is not one of 0 to 4"),
        (bad_csr(indices=[-1, 0]), 0, "the index -1 is not one of 0 to 4"),
        (bad_csr(indices=[3, 3], indptr=[0, 0, 2]), 1, "two values have the index 3"),
    ],
)
def test_a_bad_row_is_named_or_skipped(content: bytes, bad: int, problem: str) -> None:
    store = MemoryObjects(x=content)
    with pytest.raises(BadRowError, match=rf"^s3 object x, row {bad} \(from 0\): {problem}$"):
        partition(store, format="npz")
    manifest = partition(store, format="npz", on_bad_row="skip")
    assert manifest.skipped_rows == 1
    (sample,) = manifest.skipped_samples
    assert re.fullmatch(rf"s3 object x, row {bad} \(from 0\): {problem}", sample)
    ids, _, _ = stored_rows(store, manifest)
    assert ids == row_ids(np.array([1 - bad]), object_salt("x", 0))  # the other keeps its id


@pytest.mark.parametrize(
    ("dtype", "labels"),
    [
        ("i4", [2**24 + 1, 523450001]),
        ("i8", [-(2**24) - 1, 2**53 + 1, -(2**63), 2**63 - 1]),
        ("u8", [2**63, 2**64 - 1]),
        ("f8", [2**24 + 1, 0.1, 1e30]),
        (">f4", [2.0**24, 1e30]),
        ("f2", [65504]),
        ("?", [False, True]),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_labels_are_what_float32_makes_of_them(kind: str, dtype: str, labels: list[float]) -> None:
    y = np.array(labels, dtype)
    rows = np.ones((len(y), 2))
    store = MemoryObjects(x=npz(X=rows, y=y) if kind == "dense" else csr(rows, y=y))
    found = stored_rows(store, partition(store, format="npz"))
    require_equal(found, expected_rows(x=(rows, y)))


def test_missing_values_are_kept_where_the_job_says_so() -> None:
    rows = np.array([[1, np.nan], [3, 4]])
    for content in (npz(X=rows, y=[0, 1]), csr(np.ones((2, 2)), data=rows.ravel(), y=[0, 1])):
        store = MemoryObjects(x=content)
        found = stored_rows(store, partition(store, format="npz", missing="keep"))
        require_equal(found, expected_rows(x=(rows, [0, 1])))
        with pytest.raises(BadRowError, match=r"x, row 1 \(from 0\): the label is nan"):
            bad = MemoryObjects(x=npz(X=rows, y=[0, np.nan]))
            partition(bad, format="npz", missing="keep")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a": X, "b": Y}, "no array 'X': expected are X .* found are a, b"),
        ({"x_train": X, "y_test": Y}, "no array 'y': expected are X .* x_train, y_test"),
        ({"X": X}, "no array 'y': expected are X"),
        (
            {"X": X, "y": Y[:-1]},
            r"y has shape \(4999,\) .* are real numbers or text of shape \(5000,\)",
        ),
        ({"X": X, "y": np.eye(3)[Y]}, r"y has shape \(5000, 3\) .* by y.argmax\(axis=1\)"),
        ({"X": X, "y": Y[:, None, None]}, r"y has shape \(5000, 1, 1\) and type int64"),
        ({"X": X[0], "y": Y}, r"X has shape \(7,\) .* of shape \(n, d\)"),
        ({"X": X.astype(complex), "y": Y}, "X has shape .* and type complex64|complex128"),
        ({"X": X.astype(str), "y": Y}, "X has shape .* and type <U.*columns of CSV"),
        ({"X": X.astype(object), "y": Y}, r"X holds Python objects \(pickles\)"),
        ({"X": X, "y": Y.astype(object)}, r"y holds Python objects \(pickles\)"),
        ({"X": X[:, :0], "y": Y}, "0 features"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_by_name(
    content: dict[str, Any], problem: str
) -> None:
    store = MemoryObjects(x=npz(**content))
    with pytest.raises(InvalidDataError, match=f"s3 object x.*({problem})"):
        partition(store, format="npz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"format": np.array(b"csc")}, "format is 'csc'; 'csr' is expected.*tocsr"),
        ({"shape": np.array([2, 5, 1])}, "shape is not .rows, columns."),
        ({"shape": np.array([3, 5])}, r"indptr has shape \(3,\) .* of shape \(4,\)"),
        ({"shape": np.array([-2, 5])}, "shape is not"),
        ({"shape": np.array([2, 2**40])}, "features; 1 to 2147483647 are possible"),
        ({"indices": np.array([0.0, 1.0])}, "indices has .* expected are integers"),
        ({"indices": np.array([0])}, r"data has shape \(2,\) .* of shape \(1,\)"),
        ({"indptr": np.array([1, 1, 2])}, "indptr starts with 1 instead of 0"),
        ({"indptr": np.array([0, 1, 1])}, "indptr ends with 1, but there are 2 values"),
        ({"indptr": np.array([0, 2, 4])}, "indptr ends with 4, but there are 2 values"),
        ({"indptr": np.array([0, 3, 2])}, "indptr says that row 1 has -1 values"),
        ({"indptr": np.array([0, 2**40, 2**40])}, "indptr says that row 0 has 1099511627776"),
        ({"data": np.array([None, 1.0])}, "data holds Python objects"),
        ({"shape": np.zeros(10_000, int)}, "shape has shape .* expected are a few values"),
    ],
)
def test_a_matrix_that_contradicts_itself_is_refused_by_name(
    content: dict[str, Any], problem: str
) -> None:
    store = MemoryObjects(x=bad_csr(**content))
    with pytest.raises(InvalidDataError, match=f"s3 object x: .*{problem}|x has .*{problem}"):
        partition(store, format="npz")


@pytest.mark.parametrize("n_bytes", [1, 30, 1000, 70_000, -1])
def test_a_truncated_archive_is_refused_by_name(n_bytes: int) -> None:
    store = MemoryObjects(x=npz(X=X, y=Y)[:n_bytes])
    with pytest.raises(InvalidDataError, match="s3 object x is not npz: "):
        partition(store, format="npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_byte_is_found(compressed: bool) -> None:
    content = bytearray(npz(compressed, X=X, y=Y))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(InvalidDataError, match="s3 object x: X: "):
        partition(MemoryObjects(x=bytes(content)), format="npz")


def test_an_array_that_is_shorter_than_its_header_says_is_refused() -> None:
    file = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**50, 7)}
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", header.getvalue() + bytes(280))
        archive.writestr("y.npy", header.getvalue())
    with pytest.raises(InvalidDataError, match="X has 280 bytes, but its shape"):
        partition(MemoryObjects(x=file.getvalue()), format="npz")


def test_dense_rows_may_be_as_wide_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ROW_BYTES", 4 * 7)
    assert partition(MemoryObjects(x=npz(X=X, y=Y)), format="npz").n_rows == len(X)
    wider = MemoryObjects(x=npz(X=np.column_stack([X, X[:, 0]]), y=Y))
    problem = "^s3 object x has 8 features; 1 to 7 are possible of dense rows$"
    with pytest.raises(InvalidDataError, match=problem):
        sniff(wider, described(wider), SourceFormat(format="npz"))


def test_a_sparse_row_of_too_many_pairs_is_refused_before_it_is_read() -> None:
    wide = {"shape": np.array([2, 2**31 - 1]), "indptr": np.array([0, 1, 2**25 + 2])}
    problem = r"^s3 object x: indptr says that row 1 has 33554433 values; .* 33554432 are possible"
    with pytest.raises(InvalidDataError, match=problem):
        partition(MemoryObjects(x=bad_csr(**wide)), format="npz")


def test_what_is_no_npy_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", b"no magic at all")
    with pytest.raises(InvalidDataError, match="s3 object x: X: the magic string is not"):
        partition(MemoryObjects(x=file.getvalue()), format="npz", has_label=False)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (npz(X=X[:, 1:], y=Y), "b has 6 features, dense; the first object has 7, dense"),
        (csr(X[:9], y=Y[:9]), "b has 7 features, CSR; the first object has 7, dense"),
        (npz(X=X), "b has no array 'y'"),
    ],
)
def test_objects_that_are_not_like_the_first_are_refused(other: bytes, problem: str) -> None:
    store = MemoryObjects(a=npz(X=X, y=Y), b=other)
    with pytest.raises(InvalidDataError, match=f"s3 object {problem}"):
        partition(store, 2, format="npz")


def test_the_width_that_the_job_states_is_compared() -> None:
    store = MemoryObjects(x=npz(X=X, y=Y))
    with pytest.raises(InvalidDataError, match=r"data.n_features is 8, but s3 object x has 7"):
        partition(store, format="npz", n_features=8)


def test_an_object_without_rows_adds_none_and_alone_is_empty() -> None:
    nothing = npz(X=X[:0], y=Y[:0])
    store = MemoryObjects(a=nothing, b=npz(X=X[:3], y=Y[:3]), c=nothing)
    assert partition(store, 3, format="npz").n_rows == 3
    with pytest.raises(EmptyDataError, match="no rows"):
        partition(MemoryObjects(x=nothing), format="npz")


def test_rows_come_in_blocks_and_requests_are_bounded() -> None:
    store = MemoryObjects(x=npz(X=np.zeros((50_000, 30)), y=np.zeros(50_000)))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="npz"))
    assert store.read_bytes < 600_000  # Prepare reads headers only
    (part,) = plan_ranges(objects)[0]
    reader = NpzRows(store, objects, layout, 100_000, CsrBlocks())
    sizes = [rows.X.nbytes for rows in reader.read(part)]
    assert max(sizes) <= BLOCK_BYTES
    assert store.largest_read_bytes <= 10 * 100_000
    assert store.read_bytes < 1.1 * objects[0].value_bytes + 1_200_000


@pytest.mark.parametrize("content", [{"X": X, "y": Y}, {"X": X[:9], "y": Y[:9]}])
def test_a_small_object_is_read_by_one_request(content: dict[str, np.ndarray]) -> None:
    store = MemoryObjects(x=npz(**content))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="npz"))
    for_prepare = store.n_requests
    (part,) = plan_ranges(objects)[0]
    reader = NpzRows(store, objects, layout, 2**20, CsrBlocks())
    assert sum(len(rows.y) for rows in reader.read(part)) == len(content["y"])
    assert for_prepare <= 2
    assert store.n_requests == for_prepare + 1


def test_an_object_that_shrank_is_no_damaged_archive() -> None:
    store = MemoryObjects(x=npz(X=X, y=Y))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="npz"))
    store.objects["x"] = store.objects["x"][:-500]
    with pytest.raises(DamagedValueError, match=r"x ends at byte .* it was changed"):
        write_pieces(
            store, store, objects, layout, plan_ranges(objects)[0], seed=0, piece_key="p{}".format
        )
