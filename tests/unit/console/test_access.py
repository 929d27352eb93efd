"""Hosts that need a token, and the addresses that a person is told."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.console.access import Access


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    access = Access.at(host, 1234)
    assert access.token is None
    assert access.knows_token("")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "box", "localhost.example"])
def test_any_other_host_does(host: str) -> None:
    access = Access.at(host, 1234)
    assert access.token
    assert access.knows_token(f"token={access.token}")
    assert not access.knows_token(f"token={access.token}x")
    assert not access.knows_token("")


def test_secrets_are_shown_only_where_they_are_meant_to_be() -> None:
    access = Access.at("box", 1234)
    assert access.token is not None
    assert access.token not in repr(access)
    assert access.session not in repr(access)
    assert access.address == f"http://box:1234/?token={access.token}"
    assert Access.at("::1", 80).address == "http://[::1]:80/"


def test_a_console_for_all_addresses_is_opened_here_or_by_the_machines_name() -> None:
    access = Access.at("0.0.0.0", 1234)
    query = f"/?token={access.token}"
    assert access.address == f"http://127.0.0.1:1234{query}"
    assert access.address_elsewhere == f"http://{socket.gethostname()}:1234{query}"
    assert access.is_own_name(f"{socket.gethostname().upper()}:1234")
    assert access.is_own_name("10.1.2.3:1234")
    assert not access.is_own_name("attacker.example:1234")
    assert Access.at("box", 1).address_elsewhere is None


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_in_a_header_or_an_address_is_refused_without_an_error(text: str) -> None:
    access = Access("box", 1234, token="secret")
    assert access.is_own_name(text) in (True, False)
    assert not access.knows_session(text)
    assert not access.knows_session(f"{access.cookie}={text}")
    assert not access.knows_token(text)
    assert not access.knows_token(f"token=x{text}")
