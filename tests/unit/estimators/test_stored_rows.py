"""Fits of one process share an upload, and none is left in the end."""

from __future__ import annotations

import numpy as np
import pytest

from stepml.client.packed_rows import PackedRows, packed_rows
from stepml.client.stored import stored
from stepml.estimators import stored_rows
from stepml.estimators.stored_rows import StoredRows
from stepml.job import keys
from tests.support.clocks import HandClock
from tests.support.moto_stack import MotoStack

IDLE_S = 3600.0


class Fits:
    """Fits on a stack, and the places that have their rows."""

    def __init__(self, stack: MotoStack) -> None:
        self.clock = HandClock()
        self.rows = StoredRows(IDLE_S, self.clock.monotonic)
        self._client = stack.client()

    def fit(self, rows: PackedRows) -> str:
        """Store rows for a fit that ends at once; return their place."""
        with self.rows.holding(self._client.connection, self._client.stack, rows) as held:
            held.store(rows)
            assert self.has(held.place)
            return held.place

    def has(self, place: str) -> bool:
        return stored(self._client.connection, self._client.stack.bucket, place).n_objects == 1


@pytest.fixture
def fits(stack: MotoStack) -> Fits:
    return Fits(stack)


def some_rows(number: int) -> PackedRows:
    return packed_rows(np.full((4, 8), float(number)))


def test_equal_rows_have_one_place_below_the_prefix_of_fits(fits: Fits) -> None:
    place = fits.fit(some_rows(1))
    assert place.startswith(keys.fits_prefix())
    assert fits.fit(some_rows(1)) == place != fits.fit(some_rows(2))


def test_rows_are_deleted_when_no_fit_has_used_them_for_a_while(fits: Fits) -> None:
    first = fits.fit(some_rows(1))
    fits.clock.sleep(IDLE_S - 1)
    second = fits.fit(some_rows(2))
    fits.clock.sleep(1)
    fits.rows.delete_idle(IDLE_S)
    assert (fits.has(first), fits.has(second)) == (False, True)
    fits.rows.delete_idle()
    assert not fits.has(second)
    assert fits.has(fits.fit(some_rows(1)))


def test_rows_of_a_running_fit_stay(fits: Fits, stack: MotoStack) -> None:
    client, rows = stack.client(), some_rows(1)
    with fits.rows.holding(client.connection, client.stack, rows) as held:
        place = fits.fit(rows)
        fits.rows.delete_idle()
        assert fits.has(place)
    assert held.place == place


def test_few_bytes_wait_for_another_fit(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_rows, "MOST_IDLE_BYTES", 2 * some_rows(1).n_bytes)
    places = []
    for number in range(3):
        places.append(fits.fit(some_rows(number)))
        fits.clock.sleep(1)
    assert [fits.has(place) for place in places] == [False, True, True]


def test_another_process_has_places_of_its_own(fits: Fits) -> None:
    place = fits.fit(some_rows(1))
    fits.rows.forget()
    assert fits.fit(some_rows(1)) != place
    fits.rows.delete_idle()
    assert fits.has(place)


def test_rows_of_a_failed_fit_stay_until_its_leftovers_are_deleted(
    fits: Fits, stack: MotoStack
) -> None:
    client, rows = stack.client(), some_rows(1)
    with fits.rows.holding(client.connection, client.stack, rows) as held:
        place = fits.fit(rows)
        fits.rows.hold(held)
    fits.rows.delete_idle()
    assert fits.has(place)
    fits.rows.release(held)
    fits.rows.delete_idle()
    assert not fits.has(place)
