"""The console listens where it is told to, or says why it cannot."""

from __future__ import annotations

import pytest

from stepml.console.sockets import Place, PlaceError, listening


def test_a_port_of_which_nobody_listens_is_chosen_for_zero() -> None:
    with listening(Place("127.0.0.1", 0)) as first, listening(Place("127.0.0.1", 0)) as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def test_a_taken_port_is_named_with_the_next_step() -> None:
    with listening(Place("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlaceError, match=rf"--port: .* port {port} of 127.0.0.1.*, or 0 for"):
            listening(Place("127.0.0.1", port))


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "a" * 300, "é\ud800"])
def test_a_host_of_others_is_refused(host: str) -> None:
    with pytest.raises(PlaceError, match=r"^--host: "):
        listening(Place(host, 0))
