"""The names of the arrays that are features and labels."""

from __future__ import annotations

from collections.abc import Sequence

CSR = ("data", "indices", "indptr", "shape", "format")
"""The arrays of a matrix that `scipy.sparse.save_npz` writes."""

# The first pair counts of which an object has both. Upper and lower case are alike.
_PAIRS = (
    ("X", "y"),
    ("x_train", "y_train"),  # Keras
    ("train_x", "train_y"),
    ("train_images", "train_labels"),
    ("train_data", "train_labels"),
    ("images", "labels"),
    ("features", "labels"),
    ("features", "target"),
    ("data", "target"),  # scikit-learn
    ("data", "labels"),
    ("inputs", "targets"),
    ("x_test", "y_test"),
    ("arr_0", "arr_1"),  # np.savez(file, X, y)
)
PAIRS_SHOWN = "x_train and y_train, data and target, arr_0 and arr_1, …"


def find_names(names: Sequence[str], *, has_label: bool) -> tuple[str, str]:
    """Return the names of the arrays of features and of labels.

    Parameters
    ----------
    names : sequence of str
        Of all arrays of an object.
    has_label : bool

    Returns
    -------
    X : str
        Empty if the features are the arrays of a CSR matrix.
    y : str
        Not used without a label. Each name that no array has is the usual one.
    """
    if "X" not in names and "indptr" in names:
        labels = [_found(names, y) for _, y in _PAIRS]
        return "", next(filter(None, labels), "y")
    pairs = [(_found(names, x), _found(names, y)) for x, y in _PAIRS]
    candidates = [(x, y or "y") for x, y in pairs if x]
    complete = [(x, y) for x, y in pairs if x and y]
    return next(iter((complete if has_label else []) or candidates), ("X", "y"))


def _found(names: Sequence[str], wanted: str) -> str:
    """Return the name that is ``wanted`` or like it, or an empty one."""
    alike = [name for name in names if name.lower() == wanted.lower()]
    return wanted if wanted in alike else next(iter(alike), "")
