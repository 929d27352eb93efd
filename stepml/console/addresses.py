"""The addresses of the views: what a person sees has a link that can be shared."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlencode

JOBS, NEW, COMPARE, DATA, CHANNELS = "/", "/new", "/compare", "/data", "/channels"
MOST_DIGITS = 9  # of the number of an epoch, an attempt, a page
JOB, EPOCH = "/jobs/{name}", "/jobs/{name}/epochs/{epoch}"


def job_address(name: str, **settings: str | int | None) -> str:
    """Return the address of a job; ``settings`` choose what of it is open."""
    return JOB.format(name=quote(name, safe="")) + _query(settings)


def epoch_address(name: str, epoch: int, **settings: str | int | None) -> str:
    """Return the address of an epoch; ``attempt``, the number of one, chooses an earlier one."""
    return EPOCH.format(name=quote(name, safe=""), epoch=epoch) + _query(settings)


def new_address(
    like: str | None = None,
    uri: str | None = None,
    job: str | None = None,
    name: str | None = None,
) -> str:
    """Return the address of the form for a new job.

    Parameters
    ----------
    like : str, optional
        A job: the form is filled as that was started.
    uri : str, optional
        Of its data.
    job : str, optional
        The job itself, as JSON.
    name : str, optional
        Of the run.
    """
    return NEW + _query({"like": like, "uri": uri, "job": job, "name": name})


def compare_address(names: Iterable[str], by: str | None = None) -> str:
    """Return the address of a comparison of jobs; ``by`` is that of `Run.plot`."""
    pairs = [("job", name) for name in names] + ([("by", by)] if by else [])
    return f"{COMPARE}?{urlencode(pairs)}" if pairs else COMPARE


def data_address(
    folder: str | None = None, *, place: str | None = None, after: str | None = None
) -> str:
    """Return the address of a folder of the bucket, or of an object or data set at ``place``.

    ``after`` gives a later page of the folder.
    """
    return DATA + _query({"folder": folder, "place": place, "after": after})


def view_address(path: str, **settings: str | int | None) -> str:
    """Return the address of a view with settings such as a filter; None and "" are left out."""
    return path + _query(settings)


def number_in(text: str) -> int | None:
    """Return the number that a setting is, or None: it is none, or has too many digits."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def _query(settings: dict[str, str | int | None]) -> str:
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""
